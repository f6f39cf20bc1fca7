import contextlib
import io

import numpy as np
import pytest
from farnear_training.data import FORMATS, DataError, decode
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.conftest import encoded

SIZE = 16


def gradient(mode: str = "RGB", size: tuple[int, int] = (40, 30)) -> Image.Image:
    rows, columns = np.mgrid[: size[1], : size[0]]
    return Image.fromarray(np.stack([rows * 5, columns * 5, rows + columns], -1).astype(np.uint8)).convert(mode)


@pytest.mark.parametrize("file_format", ["PNG", "WEBP", "BMP", "TIFF"])
def test_decode_is_a_bilinear_resize_of_rgb(file_format: str) -> None:
    options = {"lossless": True} if file_format == "WEBP" else {}
    found = decode(encoded(gradient(), file_format, **options), 24, 16)
    assert np.array_equal(found, np.asarray(gradient().resize((24, 16), Image.Resampling.BILINEAR)))
    assert found.shape == (16, 24, 3)
    assert found.dtype == np.uint8


def test_large_jpegs_are_decoded_at_a_reduced_scale() -> None:
    encoded_jpeg = encoded(gradient(size=(400, 300)), "JPEG")
    with Image.open(io.BytesIO(encoded_jpeg)) as image:
        image.draft("RGB", (64, 64))
        assert image.size == (100, 75)  # a quarter: the smallest that is at least 64 x 64
        expected = image.resize((32, 32), Image.Resampling.BILINEAR)
    assert np.array_equal(decode(encoded_jpeg, 32, 32), np.asarray(expected))


def test_exif_orientation_is_applied() -> None:
    left_black = Image.fromarray(np.repeat([[0, 255]], 8, axis=0).repeat(4, axis=1).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned clockwise by a quarter, so that left becomes top
    found = decode(encoded(left_black, "PNG", exif=exif), 8, 8)
    assert found[:4].max() == 0
    assert found[4:].min() == 255


@pytest.mark.parametrize(
    ("array", "file_format", "expected"),
    [
        (np.full((8, 8), 0x8040, np.uint16), "PNG", 0x80),
        (np.full((8, 8), 0x8040, np.uint16), "TIFF", 0x80),
        (np.full((8, 8), 0x8040, np.int32), "TIFF", 0x80),
        (np.full((8, 8), 200, np.int32), "TIFF", 200),
        (np.full((8, 8), 1 << 24, np.int32), "TIFF", 255),
        (np.full((8, 8), -5, np.int32), "TIFF", 0),
        (np.full((8, 8), 99.9, np.float32), "TIFF", 99),
        (np.full((8, 8), 1e9, np.float32), "TIFF", 255),
    ],
)
def test_deep_grey_is_scaled_and_not_clipped_to_white(array: np.ndarray, file_format: str, expected: int) -> None:
    assert np.unique(decode(encoded(Image.fromarray(array), file_format), 8, 8)).tolist() == [expected]


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    image = gradient(mode, (16, 16))
    file_format = "TIFF" if mode == "CMYK" else "PNG"
    assert np.array_equal(decode(encoded(image, file_format), 16, 16), np.asarray(image.convert("RGB")))


def test_alpha_is_dropped_and_not_composited() -> None:
    assert decode(encoded(Image.new("RGBA", (8, 8), (10, 20, 30, 0)), "PNG"), 8, 8)[0, 0].tolist() == [10, 20, 30]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "^not a JPEG, PNG, WEBP, BMP, TIFF image$"),
        (encoded(gradient("P"), "GIF"), "^not a JPEG, PNG, WEBP, BMP, TIFF image$"),
        (encoded(gradient(), "JPEG")[:-200], "not a complete"),
        (encoded(gradient(), "WEBP", save_all=True, append_images=[gradient("L").convert("RGB")]), "2 frames"),
        (encoded(Image.new("1", (8001, 8000)), "PNG"), "8001 x 8000 pixels; allowed are at most 64000000"),
        (encoded(Image.new("1", (20_000, 20_000)), "PNG"), "allowed are at most 64000000"),
    ],
    ids=["empty", "gif", "truncated", "animated", "large", "bomb"],
)
def test_anything_but_one_whole_still_image_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        decode(content, SIZE, SIZE)


@pytest.mark.filterwarnings("ignore")  # Pillow warns of broken metadata and goes on
@settings(deadline=None, max_examples=150)
@given(
    file_format=st.sampled_from(sorted(FORMATS)),
    changes=st.lists(st.tuples(st.floats(0, 1), st.binary()), max_size=4),
)
def test_damaged_files_are_decoded_or_refused(file_format: str, changes: list[tuple[float, bytes]]) -> None:
    content = bytearray(encoded(gradient(), file_format))
    for place, patch in changes:
        start = int(place * len(content))
        content[start : start + len(patch)] = patch
    with contextlib.suppress(DataError):
        assert decode(bytes(content), SIZE, SIZE).shape == (SIZE, SIZE, 3)
