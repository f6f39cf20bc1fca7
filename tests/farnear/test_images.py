import io
import os
import tarfile
from pathlib import Path

import pytest
from farnear.images import list_images, read_file
from farnear.inputs import MAX_CONTENT_BYTES


def write(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"bytes of {name}".encode())


def pack(path: Path, *names: str, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as tar:
        for name in names:
            content = f"bytes of {name}".encode()
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def ids(data: Path) -> list[str]:
    return [image.item_id for image in list_images(data)]


def test_a_folder_gives_ids_labels_and_bytes_in_order(tmp_path: Path) -> None:
    write(tmp_path, "rust/2.png", "crack/1.jpg", "crack/run 1/3.jpg", "top.webp")
    images = list_images(tmp_path)
    assert [(image.item_id, image.label) for image in images] == [
        ("crack/1.jpg", "crack"),
        ("crack/run 1/3.jpg", "crack"),
        ("rust/2.png", "rust"),
        ("top.webp", ""),
    ]
    assert [image.read() for image in images] == [f"bytes of {image.item_id}".encode() for image in images]


def test_images_are_not_read_before_they_are_asked_for(tmp_path: Path) -> None:
    write(tmp_path, "crack/1.jpg")
    (image,) = list_images(tmp_path)
    (tmp_path / "crack/1.jpg").write_bytes(b"newer")
    assert image.read() == b"newer"


def test_only_images_are_taken(tmp_path: Path) -> None:
    images = ["a.BMP", "b.Jpeg", "c.jpg", "d.png", "e.TIF", "f.tiff", "g.webp"]
    write(tmp_path, *images, "notes.txt", "jpg", "h.jpg.txt", ".hidden.jpg", ".git/i.jpg", "crack/.thumbs/j.jpg")
    assert ids(tmp_path) == images


def test_a_single_folder_in_a_folder_is_not_dropped(tmp_path: Path) -> None:
    write(tmp_path, "pack/crack/1.jpg", "pack/rust/1.jpg")
    assert {image.label for image in list_images(tmp_path)} == {"pack"}


def test_links_that_leave_the_folder_are_not_followed(tmp_path: Path) -> None:
    write(tmp_path, "outside/secret.jpg", "data/crack/1.jpg")
    data = tmp_path / "data"
    (data / "leaves.jpg").symlink_to(tmp_path / "outside/secret.jpg")
    (data / "out").symlink_to(tmp_path / "outside", target_is_directory=True)
    (data / "loop").symlink_to(data, target_is_directory=True)
    (data / "broken.jpg").symlink_to(data / "nowhere.jpg")
    (data / "stays.jpg").symlink_to(data / "crack/1.jpg")
    assert ids(data) == ["crack/1.jpg", "stays.jpg"]


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    write(tmp_path, "data/crack/1.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "data", target_is_directory=True)
    assert ids(tmp_path / "link") == ["crack/1.jpg"]


def test_a_pipe_that_is_named_like_an_image_does_not_block(tmp_path: Path) -> None:
    write(tmp_path, "a.jpg")
    os.mkfifo(tmp_path / "b.jpg")
    assert ids(tmp_path) == ["a.jpg"]


def test_a_tar_gives_what_its_folder_gives(tmp_path: Path) -> None:
    names = ["rust/2.png", "crack/1.jpg", "crack/notes.txt", "crack/.hidden.jpg"]
    write(tmp_path / "folder", *names)
    packed = pack(tmp_path / "images.tar", *names)
    of_tar, of_folder = list_images(packed), list_images(tmp_path / "folder")
    assert [(image.item_id, image.label, image.read()) for image in of_tar] == [
        (image.item_id, image.label, image.read()) for image in of_folder
    ]


@pytest.mark.parametrize("prefix", ["", "./", "pack/", "./pack/"])
def test_one_folder_around_the_classes_of_a_tar_is_dropped(tmp_path: Path, prefix: str) -> None:
    names = ("crack/1.jpg", "rust/1.jpg", "rust/deep/2.jpg")
    packed = pack(tmp_path / "images.tar", *(prefix + name for name in names))
    assert [(image.item_id, image.label) for image in list_images(packed)] == [
        ("crack/1.jpg", "crack"),
        ("rust/1.jpg", "rust"),
        ("rust/deep/2.jpg", "rust"),
    ]


@pytest.mark.parametrize(
    "names",
    [
        ["crack/1.jpg", "crack/2.jpg"],
        ["pack/crack/1.jpg", "pack/2.jpg"],
        ["train/crack/1.jpg", "test/crack/1.jpg"],
        ["pack/crack/1.jpg", "top.jpg"],
    ],
)
def test_a_folder_that_is_not_around_classes_stays(tmp_path: Path, names: list[str]) -> None:
    assert ids(pack(tmp_path / "images.tar", *names)) == sorted(names)


def test_of_two_members_with_one_name_the_later_stands(tmp_path: Path) -> None:
    packed = pack(tmp_path / "images.tar", "crack/1.jpg", "rust/1.jpg")
    with tarfile.open(packed, "a") as tar:
        member = tarfile.TarInfo("crack/1.jpg")
        member.size = 5
        tar.addfile(member, io.BytesIO(b"newer"))
    assert [image.read() for image in list_images(packed)] == [b"newer", b"bytes of rust/1.jpg"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_a_link_in_a_tar_is_refused_when_it_is_read(tmp_path: Path, kind: bytes) -> None:
    packed = pack(tmp_path / "images.tar", "crack/1.jpg")
    with tarfile.open(packed, "a") as tar:
        member = tarfile.TarInfo("crack/link.jpg")
        member.type, member.linkname = kind, "crack/1.jpg"
        tar.addfile(member)
    plain, link = list_images(packed)
    assert plain.read() == b"bytes of crack/1.jpg"
    with pytest.raises(ValueError, match="only plain files inside a tar are read"):
        link.read()


def test_a_tar_member_outside_the_archive_is_refused_when_it_is_read(tmp_path: Path) -> None:
    _, outside = sorted(list_images(pack(tmp_path / "images.tar", "../1.jpg", "crack/1.jpg")), reverse=True, key=str)
    with pytest.raises(ValueError, match="outside the archive"):
        outside.read()


def test_what_is_neither_folder_nor_plain_tar_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "photo.jpg")
    for path in (tmp_path / "photo.jpg", pack(tmp_path / "images.tar.gz", "crack/1.jpg", mode="w:gz")):
        with pytest.raises(ValueError, match="neither a folder nor an uncompressed tar"):
            list_images(path)
    with pytest.raises(FileNotFoundError):
        list_images(tmp_path / "nowhere")


def test_a_truncated_tar_is_refused(tmp_path: Path) -> None:
    packed = pack(tmp_path / "images.tar", "crack/1.jpg", "crack/2.jpg")
    packed.write_bytes(packed.read_bytes()[:1600])
    with pytest.raises(ValueError, match="unexpected end of data"):
        list_images(packed)


def test_no_images_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "notes.txt")
    with pytest.raises(ValueError, match=r"holds no images \(\.bmp, \.jpeg"):
        list_images(tmp_path)


def test_a_file_that_no_call_can_carry_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "large.tif").open("wb") as file:
        file.truncate(MAX_CONTENT_BYTES + 1)
    with pytest.raises(ValueError, match="the image has 67,108,865 bytes, at most 67,108,864 can be sent"):
        read_file(tmp_path / "large.tif")


@pytest.mark.parametrize(("pack_name", "images", "labels"), [("neu_steel.tar", 1800, 6), ("sewer_cctv.tar", 445, 2)])
def test_real_packs(pack_name: str, images: int, labels: int) -> None:
    path = Path(os.environ.get("FARNEAR_DATA", Path(__file__).parents[3] / "shared/data")) / pack_name
    if not path.exists():
        pytest.skip(f"{path} is not there; FARNEAR_DATA names the folder of image packs")
    found = list_images(path)
    assert (len(found), len({image.label for image in found})) == (images, labels)
    assert all(image.read().startswith(b"\xff\xd8") for image in found[::100])
