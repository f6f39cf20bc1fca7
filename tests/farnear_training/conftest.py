from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from farnear_training.data import Dataset
from PIL import Image

SIZE = 16


@pytest.fixture(autouse=True)
def _own_threads() -> Iterator[None]:
    """Training sets Torch's threads for the process; every test starts with the same number."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def striped_images(count: int, *, upright: bool, seed: int) -> np.ndarray:
    """Noisy stripes, uint8 of shape (count, SIZE, SIZE, 3), upright or lying: two classes that pixels alone mix up."""
    generator = np.random.default_rng(seed)
    phases = generator.integers(0, 8, count)
    stripes = np.stack([(np.arange(SIZE) + phase) // 4 % 2 * 160 for phase in phases])
    rows = np.broadcast_to(stripes[:, None, :], (count, SIZE, SIZE))
    images = (rows if upright else rows.transpose(0, 2, 1))[..., None] + generator.integers(
        0, 90, (count, SIZE, SIZE, 3)
    )
    return images.astype(np.uint8)


@pytest.fixture(scope="session")
def stripes() -> Dataset:
    count = 24
    return Dataset(
        item_ids=tuple(f"{name}/{i:02d}.png" for name in ("lying", "upright") for i in range(count)),
        images=np.concatenate(
            [striped_images(count, upright=False, seed=0), striped_images(count, upright=True, seed=1)]
        ),
        labels=np.repeat(np.arange(2), count),
        class_names=("lying", "upright"),
    )


@pytest.fixture(scope="session")
def pack(stripes: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of class/file that holds `stripes`."""
    folder = tmp_path_factory.mktemp("pack")
    for item_id, image in zip(stripes.item_ids, stripes.images, strict=True):
        (folder / item_id).parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(folder / item_id)
    return folder
