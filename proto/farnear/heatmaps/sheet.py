"""A sheet of heat maps, as a PNG and as one HTML page with its pictures inside."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from PIL import Image

from farnear.arguments import write_out
from farnear.report.page import environment
from farnear.report.pictures import picture, sheet

COLUMNS = 10
_TEMPLATES = Path(__file__).parent
_STYLES = _TEMPLATES.parent / "report"


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A small picture, or the reason why there is none, with a caption."""

    caption: str
    image: Image.Image | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """Tiles side by side, at most `COLUMNS`, under a title of some short lines."""

    title: str
    tiles: Sequence[Tile]


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """Rows of tiles, in groups whose rows show the same images from left to right; tiles are `side` px wide."""

    title: str
    lead: str
    groups: Sequence[Sequence[Row]]
    side: int


def write(drawn: Sheet, out: Path) -> None:
    """Writes a sheet as PNG, or as an HTML page where `out` ends in .html.

    Raises:
        RefusedError: If it cannot be written.
    """
    write_out(out, html(drawn).encode() if out.suffix == ".html" else png(drawn))


def png(drawn: Sheet) -> bytes:
    """The sheet as one picture: titles to the left, without captions."""
    images: dict[str, Image.Image] = {}
    rows: list[tuple[str, list[str]]] = []
    for row in (row for group in drawn.groups for row in group):
        names: list[str] = []
        for tile in row.tiles:
            name = f"{len(rows)}/{len(names)}"
            if tile.image is not None:
                images[name] = tile.image
            names.append(name if tile.image is not None else tile.reason)
        rows.append((row.title, names))
    return sheet(rows, images, drawn.side)


def html(drawn: Sheet) -> str:
    """The sheet as a page, without any reference to another file."""
    return (
        environment(_TEMPLATES, _STYLES)
        .get_template("page.html.jinja")
        .render(sheet=drawn, picture=picture, columns=COLUMNS, version=version("farnear"))
    )
