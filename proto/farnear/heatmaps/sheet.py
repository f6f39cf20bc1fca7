"""A sheet of heat maps, as a PNG and as one HTML page with its pictures inside."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from farnear.arguments import write_out
from farnear.report import pictures
from farnear.report.colours import LIGHT
from farnear.report.page import environment
from farnear.report.pictures import BLANK, font, picture, put

COLUMNS = 10
_TEMPLATES = Path(__file__).parent
_STYLES = _TEMPLATES.parent / "report"
_GAP, _MARGIN = 6, 108
_TITLE, _TEXT, _SMALL = 15, 12, 10  # px that letters are high; they are some six tenths as wide


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A small picture, or the reason why there is none, with a caption of some short lines."""

    caption: str
    image: Image.Image | None = None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """Tiles side by side, at most `COLUMNS`, under a title."""

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
    """The sheet as one picture: titles to the left, captions below their tiles, shortened in the middle to fit."""
    title, text, small = font(_TITLE), font(_TEXT), font(_SMALL)
    rows = [row for group in drawn.groups for row in group]
    width = _MARGIN + max((len(row.tiles) for row in rows), default=COLUMNS) * (drawn.side + _GAP) + _GAP
    lead = textwrap.wrap(drawn.lead, (width - 2 * _GAP) // 7)
    head = 3 * _GAP + _line(_TITLE) + len(lead) * _line(_TEXT)
    heights = [drawn.side + _caption_lines(row) * _line(_SMALL) + 2 * _GAP for row in rows]
    canvas = Image.new("RGB", (width, head + sum(heights)), "white")
    pen = ImageDraw.Draw(canvas)
    pen.text((_GAP, _GAP), _shortened(drawn.title, title, width - 2 * _GAP), LIGHT.ink, title)
    pen.multiline_text((_GAP, 2 * _GAP + _line(_TITLE)), "\n".join(lead), LIGHT.soft, text)
    top = head
    for row, height in zip(rows, heights, strict=True):
        pen.multiline_text((_GAP, top), "\n".join(textwrap.wrap(row.title, _MARGIN // 8)), LIGHT.ink, text)
        for column, tile in enumerate(row.tiles):
            left = _MARGIN + column * (drawn.side + _GAP)
            if tile.image is None:
                pen.rectangle((left, top, left + drawn.side - 1, top + drawn.side - 1), BLANK)
                reason = textwrap.wrap(tile.reason, drawn.side // 7)
                pen.multiline_text((left + 4, top + 4), "\n".join(reason), LIGHT.soft, small)
            else:
                put(canvas, tile.image, left, top, drawn.side)
            caption = [_shortened(line, small, drawn.side) for line in tile.caption.splitlines()]
            pen.multiline_text((left, top + drawn.side + 2), "\n".join(caption), LIGHT.soft, small)
        top += height
    return pictures.png(canvas)


def html(drawn: Sheet) -> str:
    """The sheet as a page, without any reference to another file."""
    return (
        environment(_TEMPLATES, _STYLES)
        .get_template("page.html.jinja")
        .render(sheet=drawn, picture=picture, columns=COLUMNS, version=version("farnear"))
    )


def _line(size: int) -> int:
    return round(1.4 * size)


def _caption_lines(row: Row) -> int:
    return max((len(tile.caption.splitlines()) for tile in row.tiles), default=0)


def _shortened(line: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """As much of both ends as fits, more of the last: ids begin with a folder and end with what tells them apart."""
    kept, short = len(line), line
    while font.getlength(short) > width and kept > 0:
        kept -= 1
        head = kept // 3
        short = f"{line[:head]}…{line[len(line) - (kept - head) :]}"
    return short
