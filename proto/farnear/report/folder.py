"""The folder of a report: whose it is, and how it is written."""

from collections.abc import Mapping
from pathlib import Path

from farnear.arguments import write_out
from farnear.command import RefusedError

PAGE = "index.html"


def generator(name: str) -> str:
    """The line in a page that tells what wrote it."""
    return f'<meta name="generator" content="{name}">'


def check(folder: Path, name: str, *, option: str = "--out") -> None:
    """Refuses a folder whose page another program wrote, before the work is done.

    Raises:
        RefusedError: If the report would replace something that is no report of the program `name`.
    """
    page = folder / PAGE
    if folder.exists() and not folder.is_dir():
        raise RefusedError(f"{option}: {folder} is not a folder")
    if page.exists() and generator(name) not in page.read_text(encoding="utf-8", errors="replace"):
        raise RefusedError(f"{option}: {page} was not written by {name}: name another folder")


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Writes files by name, the page among them, making the folder where it is missing; returns the page's path.

    Raises:
        RefusedError: If one cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RefusedError(f"cannot make {folder}: {error.strerror}") from error
    for name, content in files.items():
        write_out(folder / name, content)
    return folder / PAGE
