"""Pictures of items: small, side by side in a sheet, and as data URIs inside a page."""

import base64
import io
from collections.abc import Mapping, Sequence

from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont, ImageOps

from farnear.report.colours import LIGHT

_SIDE = 160
_JPEG_QUALITY = 82
_TILE, _GAP, _MARGIN = 112, 6, 132
BLANK = "#eceef1"


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
    text, small_text = font(12), font(10)
    for number, (title, item_ids) in enumerate(rows):
        top = _GAP + number * pitch
        pen.multiline_text((_GAP, top), title, LIGHT.ink, text)
        for column, item_id in enumerate(item_ids):
            left = _MARGIN + column * pitch
            pen.rectangle((left, top, left + _TILE - 1, top + _TILE - 1), BLANK)
            if item_id in images:
                put(canvas, images[item_id], left, top, _TILE)
            else:
                pen.multiline_text((left + 4, top + 4), _broken(item_id), LIGHT.soft, small_text)
    return png(canvas)


def font(size: int) -> ImageFont.FreeTypeFont:
    """The font of all sheets, which has more letters than Pillow's own; `size` in px."""
    return ImageFont.truetype(font_manager.findfont("DejaVu Sans"), size)


def put(canvas: Image.Image, image: Image.Image, left: int, top: int, side: int) -> None:
    """Draws an image into the middle of a tile of `side` px a side, as large as fits."""
    shown = ImageOps.contain(image.convert("RGB"), (side, side), Image.Resampling.LANCZOS)
    canvas.paste(shown, (left + (side - shown.width) // 2, top + (side - shown.height) // 2))


def png(canvas: Image.Image) -> bytes:
    """A picture as a PNG."""
    buffer = io.BytesIO()
    canvas.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _broken(text: str, *, width: int = 16, lines: int = 7) -> str:
    return "\n".join(text[start : start + width] for start in range(0, min(len(text), width * lines), width))


def _data_uri(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"
