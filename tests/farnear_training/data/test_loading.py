import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from farnear_training.data import DataError, Dataset, load

from tests.conftest import picture

SIZE = 16


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(picture(len(name)))


def same(left: Dataset, right: Dataset) -> bool:
    return (
        left.item_ids == right.item_ids
        and left.class_names == right.class_names
        and np.array_equal(left.labels, right.labels)
        and np.array_equal(left.images, right.images)
    )


def test_a_folder_is_read_in_order_of_ids(pack: Path, stripes: Dataset) -> None:
    assert same(load(pack, SIZE, SIZE, threads=2), stripes)


def test_the_class_is_the_first_part_of_the_path(tmp_path: Path) -> None:
    put(tmp_path, "a/x/1.png", "a/y/1.PNG", "b/1.png", "b/z/z/1.png")
    dataset = load(tmp_path, SIZE, SIZE, threads=1)
    assert dataset.item_ids == ("a/x/1.png", "a/y/1.PNG", "b/1.png", "b/z/z/1.png")
    assert dataset.class_names == ("a", "b")
    assert dataset.labels.tolist() == [0, 0, 1, 1]


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


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (empty, "no images"),
        (single_class, "only the class 'a'"),
        (nested_single_class, "only the class 'a'"),
        (lonely_image, "one image in b"),
        (no_class, "stray.png: lies in no class folder"),
        (broken_image, "b/2.png: not a JPEG"),
        (unwritable_name, "names in UTF-8"),
    ],
)
def test_unusable_folders_are_refused(tmp_path: Path, make: Callable[[Path], None], message: str) -> None:
    make(tmp_path)
    with pytest.raises(DataError, match=message):
        load(tmp_path, SIZE, SIZE, threads=1)


def spoil(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_bytes(b"no picture")


def test_bad_images_are_passed_over_and_listed(tmp_path: Path) -> None:
    put(tmp_path, "a/1.png", "a/2.png", "a/3.png", "b/1.png", "b/2.png", "b/3.png")
    whole = load(tmp_path, SIZE, SIZE, threads=1)
    spoil(tmp_path, "a/2.png")
    (tmp_path / "b/1.png").write_bytes(picture(7)[:60])
    dataset = load(tmp_path, SIZE, SIZE, threads=2, max_bad_images=2)
    assert list(dataset.bad) == ["a/2.png", "b/1.png"]
    assert [reason.partition(" image")[0] for reason in dataset.bad.values()] == [
        "not a JPEG, PNG, WEBP, BMP, TIFF",
        "not a complete JPEG, PNG, WEBP, BMP, TIFF",
    ]
    assert dataset.item_ids == ("a/1.png", "a/3.png", "b/2.png", "b/3.png")
    assert dataset.labels.tolist() == [0, 0, 1, 1]
    assert np.array_equal(dataset.images, whole.images[[0, 2, 4, 5]])
    assert whole.bad == {}
    assert dataset.subset(np.array([0])).bad == {}


@pytest.mark.parametrize("allowed", [0, 11])
def test_more_bad_images_are_refused_and_ten_are_named(tmp_path: Path, allowed: int) -> None:
    names = [f"a/{i:02d}.png" for i in range(12)]
    put(tmp_path, *names, "a/good.png", "a/too.png", "b/1.png", "b/2.png")
    spoil(tmp_path, *names)
    with pytest.raises(DataError) as refusal:
        load(tmp_path, SIZE, SIZE, threads=2, max_bad_images=allowed)
    message = str(refusal.value)
    assert f"12 of 16 images cannot be read; allowed are {allowed} (--max-bad-images): a/00.png: not a" in message
    assert message.endswith("; and 2 more")
    assert [name for name in names if name in message] == names[:10]


@pytest.mark.parametrize(("good", "message"), [(0, "no image in b; needed are two"), (1, "one image in b")])
def test_classes_that_bad_images_empty_are_refused(tmp_path: Path, good: int, message: str) -> None:
    put(tmp_path, "a/1.png", "a/2.png", "b/1.png", "b/2.png", "c/1.png", "c/2.png")
    spoil(tmp_path, *["b/1.png", "b/2.png"][good:])
    with pytest.raises(DataError, match=f"without {2 - good} that cannot be read: {message}"):
        load(tmp_path, SIZE, SIZE, threads=1, max_bad_images=9)


def test_a_file_that_cannot_be_opened_is_a_bad_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "a/1.png", "a/2.png", "b/1.png", "b/2.png", "b/3.png")
    path_open = Path.open

    def denied(path: Path, *arguments: str) -> object:
        if path.name == "3.png":
            raise PermissionError(13, "Permission denied")
        return path_open(path, *arguments)

    monkeypatch.setattr(Path, "open", denied)
    assert load(tmp_path, SIZE, SIZE, threads=1, max_bad_images=1).bad == {"b/3.png": "[Errno 13] Permission denied"}


def test_a_subset_keeps_the_class_names(stripes: Dataset) -> None:
    part = stripes.subset(np.array([1, 30]))
    assert part.item_ids == ("lying/01.png", "upright/06.png")
    assert part.class_names == stripes.class_names
    assert np.array_equal(part.images, stripes.images[[1, 30]])
    assert part.labels.tolist() == [0, 1]
