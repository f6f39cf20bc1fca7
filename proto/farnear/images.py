"""The images of a folder or tar of `class/file`, in order and not yet read."""

import os
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NoReturn

from farnear.inputs import MAX_CONTENT_BYTES

EXTENSIONS = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


@dataclass(frozen=True, kw_only=True)
class SourceImage:
    """An image that can be read when it is needed.

    Attributes:
        item_id: Its path relative to the folder or within the tar, with '/'.
        label: The first folder of that path; empty for an image that is in none.
        read: Reads the encoded bytes; raises OSError, or ValueError where they are more than a call can carry.
    """

    item_id: str
    label: str
    read: Callable[[], bytes]


def list_images(data: Path) -> list[SourceImage]:
    """The images of a folder or uncompressed tar, in order of item id.

    Taken are files whose name ends in one of `EXTENSIONS`, in any case. Passed over are hidden files and folders (of a
    leading '.'), links to folders, and links that leave the folder; a link in a tar raises ValueError when it is read.

    Where all images of a tar lie in folders inside one single top folder, that one is dropped, so that a packed
    `data/class/file` and `class/file` give the same ids. Of two members with one name the later stands, as when a tar
    is unpacked. `farnear train` gives the same ids.

    Raises:
        OSError: If `data` or a folder in it cannot be read.
        ValueError: If `data` is a file but no uncompressed tar, or holds no images.
    """
    found = dict(_in_folder(data.resolve()) if data.is_dir() else _in_tar(data))
    if not found:
        raise ValueError(f"{data} holds no images ({', '.join(sorted(EXTENSIONS))})")
    return [
        SourceImage(item_id="/".join(parts), label=parts[0] if len(parts) > 1 else "", read=read)
        for parts, read in sorted(found.items(), key=lambda entry: "/".join(entry[0]))
    ]


def read_file(path: Path) -> bytes:
    """Reads an encoded image from a file.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is larger than any call can carry.
    """
    with path.open("rb") as file:
        _check_size(os.fstat(file.fileno()).st_size)
        return file.read()


_Found = tuple[tuple[str, ...], Callable[[], bytes]]


def _in_folder(root: Path) -> Iterator[_Found]:
    for parent, folders, names in os.walk(root, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(parent, name)
            visible = not name.startswith(".") and path.is_file() and path.resolve().is_relative_to(root)
            if visible and _is_image(name):
                yield path.relative_to(root).parts, partial(read_file, path)


def _in_tar(data: Path) -> Iterator[_Found]:
    images: list[_Found] = []
    try:
        with tarfile.open(data, "r:") as tar:
            for member in tar:
                parts = tuple(part for part in member.name.split("/") if part not in ("", "."))
                hidden = any(part.startswith(".") and part != ".." for part in parts)
                if member.isdir() or hidden or not _is_image(member.name):
                    continue
                if member.isreg() and not member.issparse() and ".." not in parts:
                    images.append((parts, partial(_read_span, data, member.offset_data, member.size)))
                else:
                    images.append((parts, _refuse_member))
    except tarfile.TarError as error:
        raise ValueError(f"{data} is neither a folder nor an uncompressed tar: {error}") from error
    if len({parts[0] for parts, _ in images}) == 1 and all(len(parts) > 2 for parts, _ in images):
        images = [(parts[1:], read) for parts, read in images]
    yield from images


def _is_image(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in EXTENSIONS


def _read_span(path: Path, offset: int, size: int) -> bytes:
    _check_size(size)
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(size)


def _refuse_member() -> NoReturn:
    raise ValueError("a link, sparse, or outside the archive; only plain files inside a tar are read")


def _check_size(size: int) -> None:
    if size > MAX_CONTENT_BYTES:
        raise ValueError(f"the image has {size:,} bytes, at most {MAX_CONTENT_BYTES:,} can be sent")


def _raise(error: OSError) -> NoReturn:
    raise error
