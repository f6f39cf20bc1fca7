"""Where the encoded images of a folder or a tar lie, by their ids. `farnear index` finds the same ones."""

import os
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NoReturn

from farnear_training.data.errors import DataError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the bytes of one image lie: `size` bytes of `path` from `offset` on."""

    path: Path
    offset: int
    size: int

    def read(self) -> bytes:
        """The encoded image; fewer bytes than `size` where the file ends before."""
        with self.path.open("rb") as stream:
            stream.seek(self.offset)
            return stream.read(self.size)


def find_sources(data: Path) -> dict[str, Source]:
    """Ids to images of a folder or an uncompressed tar; raises DataError where it is neither."""
    if not data.exists():
        raise DataError(f"{data}: does not exist; allowed is a folder or uncompressed tar of class/file")
    return _folder_sources(data) if data.is_dir() else _tar_sources(data)


def _folder_sources(folder: Path) -> dict[str, Source]:
    """Ids to sources; links to folders, and links out of the folder, are passed over."""
    root = folder.resolve()
    sources = {}
    for parent, _, names in os.walk(root, onerror=_refuse_folder):
        for path in (Path(parent, name) for name in names):
            parts = path.relative_to(root).parts
            if _is_image(parts) and path.is_file() and path.resolve().is_relative_to(root):
                sources["/".join(parts)] = Source(path=path, offset=0, size=path.stat().st_size)
    return sources


def _tar_sources(path: Path) -> dict[str, Source]:
    """Ids to sources; of two members with one name the later stands, as when the tar is unpacked."""
    found: dict[tuple[str, ...], Source] = {}
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
                found[parts] = Source(path=path, offset=member.offset_data, size=member.size)
    except tarfile.TarError as error:
        raise DataError(f"{path}: not a folder and not an uncompressed tar ({error})") from error
    wrapped = len({parts[0] for parts in found}) == 1 and all(len(parts) > 2 for parts in found)
    return {"/".join(parts[1:] if wrapped else parts): source for parts, source in found.items()}


def _is_image(parts: Sequence[str]) -> bool:
    hidden = any(part.startswith(".") and part != ".." for part in parts)
    return bool(parts) and not hidden and PurePosixPath(parts[-1]).suffix.lower() in SUFFIXES


def _refuse_folder(error: OSError) -> NoReturn:
    raise error
