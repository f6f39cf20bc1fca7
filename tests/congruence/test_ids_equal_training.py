"""`farnear train` and `farnear index` know an image by one id, so that a bundle's split can be found again."""

import tarfile
from pathlib import Path

import pytest
from farnear.images import list_images
from farnear_training.data import load

from tests.conftest import picture

LAYOUTS = {
    "classes": ("crack/1.png", "crack/2.PNG", "rust/1.png", "rust/deep/er/2.png"),
    "a folder around the classes": ("pack/crack/1.png", "pack/crack/2.png", "pack/rust/1.png", "pack/rust/2.png"),
    "hidden files": ("crack/1.png", "crack/2.png", "crack/.3.png", ".git/1.png", "rust/1.png", "rust/2.png", "a/b.txt"),
}


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "tar"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_ids_are_the_same(layout: str, packed: bool, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for number, name in enumerate(LAYOUTS[layout]):
        path = data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number))
    if packed:
        with tarfile.open(tmp_path / "data.tar", "w") as tar:
            tar.add(data, arcname=".")
        data = tmp_path / "data.tar"
    elif layout == "a folder around the classes":  # a folder is taken as it was named
        data = data / "pack"
    learned = load(data, 8, 8, threads=1)
    indexed = list_images(data)
    assert list(learned.item_ids) == [image.item_id for image in indexed]
    assert [learned.class_names[label] for label in learned.labels] == [image.label for image in indexed]
