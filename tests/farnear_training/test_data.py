import contextlib
import gzip
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from farnear_training import data
from farnear_training.data import DataError, Dataset, decode, load, split
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

SIZE = 16


def encoded(image: Image.Image, file_format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()


def gradient(mode: str = "RGB", size: tuple[int, int] = (40, 30)) -> Image.Image:
    rows, columns = np.mgrid[: size[1], : size[0]]
    return Image.fromarray(np.stack([rows * 5, columns * 5, rows + columns], -1).astype(np.uint8)).convert(mode)


def tar_of(folder: Path, path: Path, prefix: str = "") -> Path:
    with tarfile.open(path, "w") as tar:
        for file in sorted(folder.rglob("*"), reverse=True):
            tar.add(file, prefix + file.relative_to(folder).as_posix(), recursive=False)
    return path


def same(left: Dataset, right: Dataset) -> bool:
    return (
        left.item_ids == right.item_ids
        and left.class_names == right.class_names
        and np.array_equal(left.labels, right.labels)
        and np.array_equal(left.images, right.images)
    )


def test_a_folder_is_read_in_order_of_ids(pack: Path, stripes: Dataset) -> None:
    assert same(load(pack, SIZE, SIZE, threads=2), stripes)


@pytest.mark.parametrize("prefix", ["", "./", "/", "pack-1.0/", "./pack-1.0/"])
def test_a_tar_gives_what_its_folder_gives(pack: Path, stripes: Dataset, tmp_path: Path, prefix: str) -> None:
    assert same(load(tar_of(pack, tmp_path / "pack.tar", prefix), SIZE, SIZE, threads=2), stripes)


def test_the_class_is_the_first_part_of_the_path(pack: Path, tmp_path: Path) -> None:
    for name in ("a/x/1.png", "a/y/1.PNG", "b/1.png", "b/z/z/1.png", ".git/1.png", "a/._1.png", "notes/readme.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((pack / "lying/00.png").read_bytes())
    dataset = load(tmp_path, SIZE, SIZE, threads=1)
    assert dataset.item_ids == ("a/x/1.png", "a/y/1.PNG", "b/1.png", "b/z/z/1.png")
    assert dataset.class_names == ("a", "b")
    assert dataset.labels.tolist() == [0, 0, 1, 1]


def test_links_out_of_the_folder_are_passed_over(pack: Path, tmp_path: Path) -> None:
    put(tmp_path, "a/1.png", "a/2.png", "b/1.png", "b/2.png")
    (tmp_path / "b/inside.png").symlink_to(tmp_path / "a/1.png")
    (tmp_path / "b/outside.png").symlink_to(pack / "lying/00.png")
    (tmp_path / "c").symlink_to(pack)
    assert load(tmp_path, SIZE, SIZE, threads=1).item_ids == (
        "a/1.png",
        "a/2.png",
        "b/1.png",
        "b/2.png",
        "b/inside.png",
    )


def empty(folder: Path) -> None:
    (folder / "a").mkdir()


def single_class(folder: Path) -> None:
    put(folder, "a/1.png", "a/2.png")


def nested_single_class(folder: Path) -> None:
    put(folder, "a/b/1.png", "a/b/2.png")


def lonely_image(folder: Path) -> None:
    put(folder, "a/1.png", "a/2.png", "b/1.png")


def no_class(folder: Path) -> None:
    put(folder, "a/1.png", "a/2.png", "b/1.png", "b/2.png", "stray.png")


def broken_image(folder: Path) -> None:
    put(folder, "a/1.png", "a/2.png", "b/1.png", "b/2.png")
    (folder / "b/2.png").write_bytes(b"no picture")


def unwritable_name(folder: Path) -> None:
    put(folder, "a/1.png", "a/2.png", "b/1.png", os.fsdecode(b"b/\xff.png"))


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        gradient(size=(8, 8)).save(folder / name, "PNG")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (empty, "no images"),
        (single_class, "only the class 'a'"),
        (nested_single_class, "only the class 'a'"),
        (lonely_image, "one image in b"),
        (no_class, "stray.png: lies in no class folder"),
        (broken_image, "b/2.png: not a complete"),
        (unwritable_name, "names in UTF-8"),
    ],
)
def test_unusable_folders_are_refused(tmp_path: Path, make: Callable[[Path], None], message: str) -> None:
    make(tmp_path)
    with pytest.raises(DataError, match=message):
        load(tmp_path, SIZE, SIZE, threads=1)


def test_a_compressed_tar_is_refused(pack: Path, tmp_path: Path) -> None:
    path = tmp_path / "pack.tar.gz"
    path.write_bytes(gzip.compress(tar_of(pack, tmp_path / "pack.tar").read_bytes()))
    with pytest.raises(DataError, match="not an uncompressed tar"):
        load(path, SIZE, SIZE, threads=1)


def test_a_link_in_a_tar_is_refused(pack: Path, tmp_path: Path) -> None:
    path = tar_of(pack, tmp_path / "pack.tar")
    with tarfile.open(path, "a") as tar:
        link = tarfile.TarInfo("lying/link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "00.png"
        tar.addfile(link)
    with pytest.raises(DataError, match=r"lying/link\.png: a link"):
        load(path, SIZE, SIZE, threads=1)


def test_a_tar_cannot_point_outside_itself(pack: Path, tmp_path: Path) -> None:
    path = tar_of(pack, tmp_path / "pack.tar", "../")
    with pytest.raises(DataError, match="outside the archive"):
        load(path, SIZE, SIZE, threads=1)


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "BMP", "TIFF"])
def test_decode_is_a_bilinear_resize_of_rgb(file_format: str) -> None:
    options = {"lossless": True} if file_format == "WEBP" else {}
    found = decode(encoded(gradient(), file_format, **options), 24, 16)
    assert np.array_equal(found, np.asarray(gradient().resize((24, 16), Image.Resampling.BILINEAR)))
    assert found.shape == (16, 24, 3)
    assert found.dtype == np.uint8


def test_large_jpegs_are_decoded_at_a_reduced_scale() -> None:
    encoded_jpeg = encoded(gradient(size=(400, 300)), "JPEG")
    with Image.open(io.BytesIO(encoded_jpeg)) as image:
        image.draft("RGB", (64, 64))
        assert image.size == (100, 75)  # a quarter: the smallest that is at least 64 x 64
        expected = image.resize((32, 32), Image.Resampling.BILINEAR)
    assert np.array_equal(decode(encoded_jpeg, 32, 32), np.asarray(expected))


def test_exif_orientation_is_applied() -> None:
    left_black = Image.fromarray(np.repeat([[0, 255]], 8, axis=0).repeat(4, axis=1).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned clockwise by a quarter, so that left becomes top
    found = decode(encoded(left_black, "PNG", exif=exif), 8, 8)
    assert found[:4].max() == 0
    assert found[4:].min() == 255


@pytest.mark.parametrize(
    ("array", "file_format", "expected"),
    [
        (np.full((8, 8), 0x8040, np.uint16), "PNG", 0x80),
        (np.full((8, 8), 0x8040, np.uint16), "TIFF", 0x80),
        (np.full((8, 8), 0x8040, np.int32), "TIFF", 0x80),
        (np.full((8, 8), 200, np.int32), "TIFF", 200),
        (np.full((8, 8), 1 << 24, np.int32), "TIFF", 255),
        (np.full((8, 8), -5, np.int32), "TIFF", 0),
        (np.full((8, 8), 99.9, np.float32), "TIFF", 99),
        (np.full((8, 8), 1e9, np.float32), "TIFF", 255),
    ],
)
def test_deep_grey_is_scaled_and_not_clipped_to_white(array: np.ndarray, file_format: str, expected: int) -> None:
    assert np.unique(decode(encoded(Image.fromarray(array), file_format), 8, 8)).tolist() == [expected]


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    image = gradient(mode, (16, 16))
    file_format = "TIFF" if mode == "CMYK" else "PNG"
    assert np.array_equal(decode(encoded(image, file_format), 16, 16), np.asarray(image.convert("RGB")))


def test_alpha_is_dropped_and_not_composited() -> None:
    assert decode(encoded(Image.new("RGBA", (8, 8), (10, 20, 30, 0)), "PNG"), 8, 8)[0, 0].tolist() == [10, 20, 30]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a complete"),
        (encoded(gradient("P"), "GIF"), "not a complete"),
        (encoded(gradient(), "JPEG")[:-200], "not a complete"),
        (encoded(gradient(), "WEBP", save_all=True, append_images=[gradient("L").convert("RGB")]), "2 frames"),
        (encoded(Image.new("1", (8001, 8000)), "PNG"), "8001 x 8000 pixels; allowed are at most 64000000"),
        (encoded(Image.new("1", (20_000, 20_000)), "PNG"), "allowed are at most 64000000"),
    ],
    ids=["empty", "gif", "truncated", "animated", "large", "bomb"],
)
def test_anything_but_one_whole_still_image_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        decode(content, SIZE, SIZE)


@pytest.mark.filterwarnings("ignore")  # Pillow warns of broken metadata and goes on
@settings(deadline=None, max_examples=150)
@given(
    file_format=st.sampled_from(sorted(data.FORMATS)),
    changes=st.lists(st.tuples(st.floats(0, 1), st.binary()), max_size=4),
)
def test_damaged_files_are_decoded_or_refused(file_format: str, changes: list[tuple[float, bytes]]) -> None:
    content = bytearray(encoded(gradient(), file_format))
    for place, patch in changes:
        start = int(place * len(content))
        content[start : start + len(patch)] = patch
    with contextlib.suppress(DataError):
        assert decode(bytes(content), SIZE, SIZE).shape == (SIZE, SIZE, 3)


def test_a_subset_keeps_the_class_names(stripes: Dataset) -> None:
    part = stripes.subset(np.array([1, 30]))
    assert part.item_ids == ("lying/01.png", "upright/06.png")
    assert part.class_names == stripes.class_names
    assert np.array_equal(part.images, stripes.images[[1, 30]])
    assert part.labels.tolist() == [0, 1]


def test_split_takes_its_share_of_every_class() -> None:
    labels = np.repeat([0, 1, 2, 3, 4], [100, 10, 3, 2, 1])
    train, test = split(labels, 0.3, seed=7)
    assert np.bincount(labels[test], minlength=5).tolist() == [30, 3, 1, 1, 0]
    assert sorted([*train, *test]) == list(range(len(labels)))


@pytest.mark.parametrize("fraction", [0.01, 0.99])
def test_every_class_of_two_is_on_both_sides(fraction: float) -> None:
    labels = np.repeat([0, 1], [2, 30])
    for part in split(labels, fraction, seed=0):
        assert set(labels[part]) == {0, 1}


def test_split_is_decided_by_its_seed() -> None:
    labels = np.repeat([0, 1], 50)
    assert np.array_equal(split(labels, 0.3, 1)[1], split(labels, 0.3, 1)[1])
    assert not np.array_equal(split(labels, 0.3, 1)[1], split(labels, 0.3, 2)[1])


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, float("nan")])
def test_split_refuses_an_empty_side(fraction: float) -> None:
    with pytest.raises(ValueError, match="test_fraction"):
        split(np.array([0, 0]), fraction, 0)
