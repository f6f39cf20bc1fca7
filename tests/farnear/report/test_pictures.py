import base64
import io

import numpy as np
import pytest
from farnear.report.pictures import drawing, sheet, small, thumbnail
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


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def test_a_picture_of_16_bits_is_shown_by_its_high_byte() -> None:
    values = np.array([[0, 255, 256, 40_000, 65_535]], np.uint16)
    assert np.asarray(small(encoded(Image.fromarray(values)))).tolist() == [[0, 0, 1, 156, 255]]


def test_a_picture_is_turned_as_its_camera_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it by a quarter to the right
    assert small(encoded(Image.new("RGB", (300, 100)), "JPEG", exif=exif)).size == (53, 160)


def test_a_sheet_has_a_row_for_each_title_and_a_tile_for_each_item() -> None:
    images = {"a": Image.new("L", (20, 20), 200), "b": Image.new("RGB", (40, 20), (250, 0, 0))}
    with Image.open(io.BytesIO(sheet([("cluster 0\n2 items", ["a", "b"]), ("noise", ["gone"])], images))) as drawn:
        pixels = np.asarray(drawn.convert("RGB")).astype(int)
    assert pixels.shape == (2 * 118 + 6, 132 + 2 * 118 + 6, 3)
    assert pixels[6 + 56, 132 + 56].tolist() == [200, 200, 200]
    assert pixels[6 + 56, 250 + 56].tolist() == [250, 0, 0]
    assert pixels[6 + 5, 250 + 56].tolist() == [236, 238, 241]  # above a wide picture its tile is blank
    assert pixels[124 + 110, 132 + 56].tolist() == [236, 238, 241]  # there is no picture, but an id
    assert (pixels[124 : 124 + 40, 132 : 132 + 100] < 120).any()


def test_a_sheet_of_nothing_is_a_picture_all_the_same() -> None:
    with Image.open(io.BytesIO(sheet([], {}))) as drawn:
        assert drawn.size == (138, 6)
