"""Pictures of items: small, side by side in a sheet, and as data URIs inside a page."""

import base64
import io
from collections.abc import Mapping, Sequence

from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont, ImageOps

_SIDE = 160
_JPEG_QUALITY = 82
_TILE, _GAP, _MARGIN = 112, 6, 132
_INK, _SOFT, _BLANK = "#22262b", "#53585f", "#eceef1"


def small(encoded: bytes, side: int = _SIDE) -> Image.Image:
    """An encoded image at `side` px a side at most, grey or RGB, the right way up; 16-bit grey by its high byte."""
    with Image.open(io.BytesIO(encoded)) as image:
        image.draft("RGB", (2 * side, 2 * side))  # a JPEG of many megapixels decodes in a quarter of the time
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I"):
            upright = upright.point(lambda value: value / 256).convert("L")
        shrunk = upright.convert("L" if upright.mode == "L" else "RGB")
    shrunk.thumbnail((side, side), Image.Resampling.LANCZOS)
    return shrunk


def picture(image: Image.Image) -> str:
    """An image as the data URI of a JPEG."""
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=_JPEG_QUALITY, optimize=True)
    return _data_uri("image/jpeg", buffer.getvalue())


def thumbnail(encoded: bytes) -> str:
    """An encoded image as the data URI of a JPEG of at most 160 px a side."""
    return picture(small(encoded))


def drawing(png: bytes) -> str:
    """A PNG as its data URI, unchanged."""
    return _data_uri("image/png", png)


def sheet(rows: Sequence[tuple[str, Sequence[str]]], images: Mapping[str, Image.Image]) -> bytes:
    """Rows of tiles as one PNG: each a title of some lines, and the items; of one without an image, its id."""
    columns = max((len(item_ids) for _, item_ids in rows), default=0)
    pitch = _TILE + _GAP
    canvas = Image.new("RGB", (_MARGIN + columns * pitch + _GAP, len(rows) * pitch + _GAP), "white")
    pen = ImageDraw.Draw(canvas)
    font = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), 12)
    for number, (title, item_ids) in enumerate(rows):
        top = _GAP + number * pitch
        pen.multiline_text((_GAP, top), title, _INK, font)
        for column, item_id in enumerate(item_ids):
            left = _MARGIN + column * pitch
            pen.rectangle((left, top, left + _TILE - 1, top + _TILE - 1), _BLANK)
            if item_id in images:
                tile = ImageOps.contain(images[item_id].convert("RGB"), (_TILE, _TILE), Image.Resampling.LANCZOS)
                canvas.paste(tile, (left + (_TILE - tile.width) // 2, top + (_TILE - tile.height) // 2))
            else:
                pen.multiline_text((left + 4, top + 4), _broken(item_id), _SOFT, font.font_variant(size=10))
    buffer = io.BytesIO()
    canvas.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _broken(text: str, *, width: int = 16, lines: int = 7) -> str:
    return "\n".join(text[start : start + width] for start in range(0, min(len(text), width * lines), width))


def _data_uri(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"
