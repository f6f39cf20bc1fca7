import gzip
import tarfile
from pathlib import Path

import pytest
from farnear_training.data import DataError
from farnear_training.data.sources import find_sources

from tests.conftest import picture


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(picture(len(name)))


def tar_of(folder: Path, path: Path, prefix: str = "") -> Path:
    with tarfile.open(path, "w") as tar:
        for file in sorted(folder.rglob("*"), reverse=True):
            tar.add(file, prefix + file.relative_to(folder).as_posix(), recursive=False)
    return path


def contents(data: Path) -> dict[str, bytes]:
    return {item_id: source.read() for item_id, source in find_sources(data).items()}


@pytest.mark.parametrize("prefix", ["", "./", "/", "pack-1.0/", "./pack-1.0/"])
def test_a_tar_gives_what_its_folder_gives(pack: Path, tmp_path: Path, prefix: str) -> None:
    found = contents(tar_of(pack, tmp_path / "pack.tar", prefix))
    assert found == contents(pack)
    assert found["lying/00.png"] == (pack / "lying/00.png").read_bytes()


def test_hidden_files_and_other_suffixes_are_passed_over(tmp_path: Path) -> None:
    put(tmp_path, "a/x/1.png", "a/y/1.PNG", "b/1.png", "b/z/z/1.png", ".git/1.png", "a/._1.png", "notes/readme.txt")
    assert set(find_sources(tmp_path)) == {"a/x/1.png", "a/y/1.PNG", "b/1.png", "b/z/z/1.png"}


def test_what_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no-data: does not exist"):
        find_sources(tmp_path / "no-data")


def test_links_out_of_the_folder_are_passed_over(pack: Path, tmp_path: Path) -> None:
    put(tmp_path, "a/1.png", "a/2.png", "b/1.png", "b/2.png")
    (tmp_path / "b/inside.png").symlink_to(tmp_path / "a/1.png")
    (tmp_path / "b/outside.png").symlink_to(pack / "lying/00.png")
    (tmp_path / "c").symlink_to(pack)
    assert set(find_sources(tmp_path)) == {"a/1.png", "a/2.png", "b/1.png", "b/2.png", "b/inside.png"}


def test_a_compressed_tar_is_refused(pack: Path, tmp_path: Path) -> None:
    path = tmp_path / "pack.tar.gz"
    path.write_bytes(gzip.compress(tar_of(pack, tmp_path / "pack.tar").read_bytes()))
    with pytest.raises(DataError, match="not an uncompressed tar"):
        find_sources(path)


def test_a_link_in_a_tar_is_refused(pack: Path, tmp_path: Path) -> None:
    path = tar_of(pack, tmp_path / "pack.tar")
    with tarfile.open(path, "a") as tar:
        link = tarfile.TarInfo("lying/link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "00.png"
        tar.addfile(link)
    with pytest.raises(DataError, match=r"lying/link\.png: a link"):
        find_sources(path)


def test_a_tar_cannot_point_outside_itself(pack: Path, tmp_path: Path) -> None:
    path = tar_of(pack, tmp_path / "pack.tar", "../")
    with pytest.raises(DataError, match="outside the archive"):
        find_sources(path)
