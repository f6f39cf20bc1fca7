"""Images in class folders -> uint8 arrays in memory."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from farnear_training.data.decoding import decode
from farnear_training.data.errors import DataError
from farnear_training.data.sources import SUFFIXES, find_sources

_LISTED = 10


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Labelled images in memory, in order of their ids.

    Attributes:
        item_ids: Relative paths `class/file`, N of them.
        images: RGB, uint8 of shape (N, H, W, 3).
        labels: Positions in `class_names`, int64 of shape (N,).
        class_names: Sorted.
        bad: What was passed over because it cannot be read: reasons by item id.
    """

    item_ids: tuple[str, ...]
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    bad: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.item_ids)

    def subset(self, indices: NDArray[np.int64]) -> "Dataset":
        """The images at `indices`, copied; the class names stay, what is bad is not a part of it."""
        return Dataset(
            item_ids=tuple(self.item_ids[i] for i in indices),
            images=self.images[indices],
            labels=self.labels[indices],
            class_names=self.class_names,
        )


def load(data: Path, width: int, height: int, *, threads: int, max_bad_images: int = 0) -> Dataset:
    """Decodes every image of a folder or an uncompressed tar of `class/file`.

    The class is the first part of an image's path, however deep the image lies. Where all of a tar lies in folders in
    one more folder, that one is left out of the ids. Hidden files and files with other suffixes than an image's are
    passed over. `farnear index` takes the same images under the same ids.

    Args:
        data: The folder or tar.
        width: Of the decoded images, in pixels.
        height: Of the decoded images, in pixels.
        threads: Images that are decoded at once.
        max_bad_images: Images that may be unreadable: they are passed over and listed in `Dataset.bad`.

    Raises:
        DataError: More images cannot be read, or there are not two classes with two readable images each.
    """
    sources = find_sources(data)
    item_ids = tuple(sorted(sources))
    class_names, labels = _labelled(item_ids, data)

    images = np.empty((len(item_ids), height, width, 3), np.uint8)

    def fill(i: int) -> str | None:
        """What is wrong with image `i`, if anything."""
        try:
            images[i] = decode(sources[item_ids[i]].read(), width, height)
        except (DataError, OSError) as error:
            return str(error)
        return None

    with ThreadPoolExecutor(threads) as pool:
        faults = list(tqdm(pool.map(fill, range(len(item_ids))), "decode", len(item_ids), unit="img", disable=None))
    bad = {item_id: fault for item_id, fault in zip(item_ids, faults, strict=True) if fault is not None}
    if not bad:
        return Dataset(item_ids=item_ids, images=images, labels=labels, class_names=class_names)
    if len(bad) > max_bad_images:
        listed = [f"{item_id}: {fault}" for item_id, fault in bad.items()]
        more = f"; and {len(bad) - _LISTED} more" if len(bad) > _LISTED else ""
        raise DataError(
            f"{data}: {len(bad)} of {len(item_ids)} images cannot be read; allowed are {max_bad_images}"
            f" (--max-bad-images): {'; '.join(listed[:_LISTED])}{more}"
        )
    good = np.flatnonzero([fault is None for fault in faults])
    _refuse_lonely(class_names, labels[good], f"{data}, without {len(bad)} that cannot be read")
    return Dataset(
        item_ids=tuple(item_ids[i] for i in good),
        images=images[good],
        labels=labels[good],
        class_names=class_names,
        bad=bad,
    )


def _labelled(item_ids: Sequence[str], data: Path) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The sorted class names and each item's position in them; refuses what a metric cannot be learned from."""
    if not item_ids:
        raise DataError(f"{data}: no images; allowed is a folder or uncompressed tar of class/file, {_list(SUFFIXES)}")
    for item_id in item_ids:
        if "/" not in item_id:
            raise DataError(f"{data}: {item_id}: lies in no class folder; allowed is class/file")
        if any(unicodedata.category(character) in ("Cc", "Cs") for character in item_id):
            raise DataError(f"{data}: {item_id!r}: allowed are names in UTF-8 without control characters")
    names, labels = np.unique([item_id.split("/")[0] for item_id in item_ids], return_inverse=True)
    class_names = tuple(str(name) for name in names)
    if len(class_names) < 2:
        raise DataError(f"{data}: only the class {class_names[0]!r}; needed are two classes or more")
    _refuse_lonely(class_names, labels, str(data))
    return class_names, labels.astype(np.int64)


def _refuse_lonely(class_names: Sequence[str], labels: NDArray[np.int64], where: str) -> None:
    counts = np.bincount(labels, minlength=len(class_names))
    for few, what in ((counts == 0, "no image"), (counts == 1, "one image")):
        if few.any():
            lonely = _list(np.asarray(class_names)[few])
            raise DataError(f"{where}: {what} in {lonely}; needed are two or more in every class")


def _list(words: Iterable[str]) -> str:
    return ", ".join(sorted(words))
