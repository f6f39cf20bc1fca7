"""Images in class folders -> uint8 arrays in memory, and their split into a train and a test part.

Decoding follows the one rule that the service uses too (ARCHITECTURE.md, "The bundle"); any other decoder or filter
moves the embeddings.
"""

import io
import os
import struct
import tarfile
import unicodedata
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from tqdm import tqdm

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
MAX_PIXELS = 64_000_000
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})


class DataError(ValueError):
    """The images given cannot be trained on; the message names the file or folder and says what is allowed."""


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Labelled images in memory, in order of their ids.

    Attributes:
        item_ids: Relative paths `class/file`, N of them.
        images: RGB, uint8 of shape (N, H, W, 3).
        labels: Positions in `class_names`, int64 of shape (N,).
        class_names: Sorted.
    """

    item_ids: tuple[str, ...]
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.item_ids)

    def subset(self, indices: NDArray[np.int64]) -> "Dataset":
        """The images at `indices`, copied; the class names stay."""
        return Dataset(
            item_ids=tuple(self.item_ids[i] for i in indices),
            images=self.images[indices],
            labels=self.labels[indices],
            class_names=self.class_names,
        )


@dataclass(frozen=True, kw_only=True)
class _Source:
    """Where the bytes of one image lie: `size` bytes of `path` from `offset` on."""

    path: Path
    offset: int
    size: int

    def read(self) -> bytes:
        with self.path.open("rb") as stream:
            stream.seek(self.offset)
            return stream.read(self.size)


def load(data: Path, width: int, height: int, *, threads: int) -> Dataset:
    """Decodes every image of a folder or an uncompressed tar of `class/file`.

    The class is the first part of an image's path, however deep the image lies. Where all of a tar lies in folders in
    one more folder, that one is left out of the ids. Hidden files and files with other suffixes than an image's are
    passed over. `farnear index` takes the same images under the same ids.

    Raises:
        DataError: An image cannot be read, or there are not two classes with two images each.
    """
    if not data.exists():
        raise DataError(f"{data}: does not exist; allowed is a folder or uncompressed tar of class/file")
    sources = _folder_sources(data) if data.is_dir() else _tar_sources(data)
    item_ids = tuple(sorted(sources))
    class_names, labels = _labelled(item_ids, data)

    images = np.empty((len(item_ids), height, width, 3), np.uint8)

    def fill(i: int) -> None:
        try:
            images[i] = decode(sources[item_ids[i]].read(), width, height)
        except (DataError, OSError) as error:
            raise DataError(f"{data}: {item_ids[i]}: {error}") from error

    with ThreadPoolExecutor(threads) as pool:  # its map cancels what is left once an image is refused
        list(tqdm(pool.map(fill, range(len(item_ids))), "decode", len(item_ids), unit="img", disable=None))
    return Dataset(item_ids=item_ids, images=images, labels=labels, class_names=class_names)


def decode(data: bytes, width: int, height: int) -> NDArray[np.uint8]:
    """Pixels of an encoded image, RGB, uint8 of shape (height, width, 3).

    Raises DataError for anything but one complete, still image in an allowed format within the pixel limit.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check(image)
            image.draft("RGB", (2 * width, 2 * height))  # JPEG only: decodes scaled down, never below this size
            image.load()
            upright = ImageOps.exif_transpose(image)
            return np.asarray(_rgb(upright).resize((width, height), Image.Resampling.BILINEAR))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"too many pixels; allowed are at most {MAX_PIXELS} in all") from error
    except DataError:
        raise
    except (OSError, ValueError, TypeError, SyntaxError, EOFError, struct.error) as error:  # what Pillow raises
        raise DataError(f"not a complete {', '.join(FORMATS)} image ({error})") from error


def split(labels: NDArray[np.int64], test_fraction: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Parts the positions of `labels`, of shape (N,), into (train, test), each ascending, class by class.

    Every class with two images or more has at least one on either side; a single image goes to train.
    Raises ValueError unless 0 < test_fraction < 1.
    """
    if not 0 < test_fraction < 1:
        raise ValueError(f"test_fraction: {test_fraction}; allowed is more than 0 and less than 1")
    test = []
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = min(max(1, round(test_fraction * len(members))), len(members) - 1)
        test.append(np.random.default_rng([seed, int(label)]).permutation(members)[:count])
    test_indices = np.sort(np.concatenate(test))
    return np.setdiff1d(np.arange(len(labels)), test_indices), test_indices


def _check(image: Image.Image) -> None:
    """Refuses by its header what is too large or moves, before anything is decoded."""
    if image.width * image.height > MAX_PIXELS:
        raise DataError(f"{image.width} x {image.height} pixels; allowed are at most {MAX_PIXELS} in all")
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # a camera's JPEG with previews behind it: the first is the image
        raise DataError(f"{frames} frames; allowed is a still image")


def _rgb(image: Image.Image) -> Image.Image:
    # Pillow clips 16-bit grey to white where it is converted as it is, so its high byte is taken first.
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "I":
        values = np.asarray(image)
        eight_bit = values >> 8 if values.max() > 255 else values
        return Image.fromarray(np.clip(eight_bit, 0, 255).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        return Image.fromarray(np.clip(np.nan_to_num(np.asarray(image)), 0, 255).astype(np.uint8)).convert("RGB")
    return image.convert("RGB")


def _folder_sources(folder: Path) -> dict[str, _Source]:
    """Ids to sources; links to folders, and links out of the folder, are passed over."""
    root = folder.resolve()
    sources = {}
    for parent, _, names in os.walk(root, onerror=_refuse_folder):
        for path in (Path(parent, name) for name in names):
            parts = path.relative_to(root).parts
            if _is_image(parts) and path.is_file() and path.resolve().is_relative_to(root):
                sources["/".join(parts)] = _Source(path=path, offset=0, size=path.stat().st_size)
    return sources


def _tar_sources(path: Path) -> dict[str, _Source]:
    """Ids to sources; of two members with one name the later stands, as when the tar is unpacked."""
    found: dict[tuple[str, ...], _Source] = {}
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                parts = tuple(part for part in member.name.split("/") if part not in ("", "."))
                if member.isdir() or not _is_image(parts):
                    continue
                if ".." in parts or not member.isreg() or member.issparse():
                    raise DataError(
                        f"{path}: {member.name}: a link, sparse, or outside the archive; allowed are plain files inside"
                    )
                found[parts] = _Source(path=path, offset=member.offset_data, size=member.size)
    except tarfile.TarError as error:
        raise DataError(f"{path}: not a folder and not an uncompressed tar ({error})") from error
    wrapped = len({parts[0] for parts in found}) == 1 and all(len(parts) > 2 for parts in found)
    return {"/".join(parts[1:] if wrapped else parts): source for parts, source in found.items()}


def _is_image(parts: Sequence[str]) -> bool:
    hidden = any(part.startswith(".") and part != ".." for part in parts)
    return bool(parts) and not hidden and PurePosixPath(parts[-1]).suffix.lower() in SUFFIXES


def _refuse_folder(error: OSError) -> NoReturn:
    raise error


def _labelled(item_ids: Sequence[str], data: Path) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The sorted class names and each item's position in them; refuses what a metric cannot be learned from."""
    if not item_ids:
        raise DataError(f"{data}: no images; allowed is a folder or uncompressed tar of class/file, {_list(SUFFIXES)}")
    for item_id in item_ids:
        if "/" not in item_id:
            raise DataError(f"{data}: {item_id}: lies in no class folder; allowed is class/file")
        if any(unicodedata.category(character) in ("Cc", "Cs") for character in item_id):
            raise DataError(f"{data}: {item_id!r}: allowed are names in UTF-8 without control characters")
    names, labels, counts = np.unique([item_id.split("/")[0] for item_id in item_ids], False, True, True)
    class_names = tuple(str(name) for name in names)
    if len(class_names) < 2:
        raise DataError(f"{data}: only the class {class_names[0]!r}; needed are two classes or more")
    lonely = [name for name, count in zip(class_names, counts, strict=True) if count < 2]
    if lonely:
        raise DataError(f"{data}: one image in {_list(lonely)}; needed are two or more in every class")
    return class_names, labels.astype(np.int64)


def _list(words: Iterable[str]) -> str:
    return ", ".join(sorted(words))
