import base64
import io

import numpy as np
import pytest
from farnear.demo.pictures import drawing, thumbnail
from PIL import Image


def decoded(uri: str, media_type: str) -> bytes:
    head, _, content = uri.partition(",")
    assert head == f"data:{media_type};base64"
    return base64.b64decode(content, validate=True)


@pytest.mark.parametrize(("mode", "kept"), [("L", "L"), ("RGB", "RGB"), ("RGBA", "RGB"), ("P", "RGB")])
def test_a_thumbnail_is_a_small_jpeg_of_the_same_picture(mode: str, kept: str) -> None:
    dark_above_light = Image.fromarray(np.repeat(np.uint8([[40], [220]]), 150, 0).repeat(300, 1)).convert(mode)
    buffer = io.BytesIO()
    dark_above_light.save(buffer, format="PNG")
    with Image.open(io.BytesIO(decoded(thumbnail(buffer.getvalue()), "image/jpeg"))) as small:
        assert (small.format, small.size, small.mode) == ("JPEG", (160, 160), kept)
        shades = np.asarray(small.convert("L"), dtype=float)
    assert np.abs(shades[:70] - 40).max() < 8
    assert np.abs(shades[90:] - 220).max() < 8


def test_a_small_picture_keeps_its_size() -> None:
    buffer = io.BytesIO()
    Image.new("L", (30, 20)).save(buffer, format="PNG")
    with Image.open(io.BytesIO(decoded(thumbnail(buffer.getvalue()), "image/jpeg"))) as small:
        assert small.size == (30, 20)


def test_a_drawing_is_unchanged() -> None:
    assert decoded(drawing(b"\x89PNG bytes"), "image/png") == b"\x89PNG bytes"
