"""Pictures inside a page: small JPEGs and drawings as data URIs, so that the page is one file."""

import base64
import io

from PIL import Image

_SIDE = 160
_JPEG_QUALITY = 82


def thumbnail(encoded: bytes) -> str:
    """An encoded image as the data URI of a JPEG of at most 160 px a side."""
    with Image.open(io.BytesIO(encoded)) as image:
        small = image.convert("L" if image.mode == "L" else "RGB")
    small.thumbnail((_SIDE, _SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, format="JPEG", quality=_JPEG_QUALITY, optimize=True)
    return _data_uri("image/jpeg", buffer.getvalue())


def drawing(png: bytes) -> str:
    """A PNG as its data URI, unchanged."""
    return _data_uri("image/png", png)


def _data_uri(media_type: str, content: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"
