"""Encoded images to pixels, by the one rule that training uses too; and heat maps to pictures.

The rule (ARCHITECTURE.md, "The bundle"): Pillow, EXIF orientation, RGB, bilinear resize. Any other decoder or filter
moves the embedding: with OpenCV's resizers an image's own stored copy was its nearest neighbour in only 64-79 %.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from farnear_service.errors import InvalidError
from farnear_service.types import ByteArray, FloatArray, HeatmapPicture

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
MAX_PICTURE_SIDE = 1024
MAX_THUMBNAIL_SIDE = 256

# Pillow would warn from 89 megapixels on; the limit of `ImageLimits` is checked instead, also before decoding.
Image.MAX_IMAGE_PIXELS = None

# Inferno (van der Walt and Smith, 2015) at nine even steps: perceptually uniform, readable without colour vision.
_INFERNO = np.array(
    [
        (0, 0, 4), (31, 12, 72), (85, 15, 109), (136, 34, 106), (186, 54, 85),
        (227, 89, 51), (249, 140, 10), (249, 201, 50), (252, 255, 164),
    ],
    dtype=np.float32,
)  # fmt: skip
_COLOURS: FloatArray = np.stack(
    [np.interp(np.arange(256) / 255, np.arange(9) / 8, channel) for channel in _INFERNO.T], axis=1
).astype(np.float32)
_FAINTEST, _STRONGEST = 0.15, 0.7  # how much of the image an overlay covers


@dataclass(frozen=True, kw_only=True)
class ImageLimits:
    """What is accepted: `max_bytes` of the file, `max_pixels` by its header, before anything is decoded."""

    max_bytes: int = 16 * 1024 * 1024
    max_pixels: int = 64_000_000


def decode(data: bytes, width: int, height: int, limits: ImageLimits) -> ByteArray:
    """Pixels of an encoded image, RGB, uint8 of shape (H, W, 3).

    Raises InvalidError for anything but one complete, still image in an allowed format and within `limits`.
    """
    with _open(data, limits) as image:
        image.draft("RGB", (2 * width, 2 * height))  # JPEG only: decodes at a reduced scale, never below this size
        return np.asarray(_rgb(_load(image)).resize((width, height), Image.Resampling.BILINEAR))


def draw(data: bytes, heatmaps: Sequence[FloatArray], limits: ImageLimits, form: HeatmapPicture) -> list[bytes]:
    """A PNG of what is above 0 in each heat map, (h, w), at the shown size of their image, at most 1,024 px a side.

    Colours go from 0 to the map's greatest absolute value, so that what little there is above 0 in a map of mostly less
    looks little. An overlay lies over the image: the stronger, the more opaque.
    """
    with _open(data, limits) as image:
        image.draft("RGB", (MAX_PICTURE_SIDE, MAX_PICTURE_SIDE))
        picture = _rgb(_load(image))
    picture.thumbnail((MAX_PICTURE_SIDE, MAX_PICTURE_SIDE), Image.Resampling.BILINEAR)
    return [_drawn(picture, heatmap, form) for heatmap in heatmaps]


def _drawn(picture: Image.Image, heatmap: FloatArray, form: HeatmapPicture) -> bytes:
    positive, peak = np.maximum(heatmap, 0), float(np.abs(heatmap).max())
    strength = Image.fromarray(np.asarray(positive / peak if peak > 0 else positive, np.float32))
    smooth = strength.resize(picture.size, Image.Resampling.BICUBIC)
    share: FloatArray = np.clip(np.asarray(smooth, np.float32), 0, 1)
    drawn = _COLOURS[(255 * share).round().astype(np.uint8)]
    if form is HeatmapPicture.OVERLAY:
        opacity = (_FAINTEST + (_STRONGEST - _FAINTEST) * share)[..., None]
        drawn = (1 - opacity) * np.asarray(picture, np.float32) + opacity * drawn
    out = io.BytesIO()
    # A third of the time that the usual level 6 takes, and a tenth more bytes.
    Image.fromarray(drawn.round().astype(np.uint8)).save(out, "PNG", compress_level=3)
    return out.getvalue()


def thumbnail(data: bytes, limits: ImageLimits) -> bytes:
    """A JPEG of the image, upright, RGB, at most 256 px a side; never larger than the image."""
    side = MAX_THUMBNAIL_SIDE
    with _open(data, limits) as image:
        image.draft("RGB", (2 * side, 2 * side))
        picture = _rgb(_load(image))
    picture.thumbnail((side, side), Image.Resampling.BILINEAR)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=90)
    return out.getvalue()


def media_type(data: bytes) -> str:
    """The media type of an encoded image that was accepted before, as in image/jpeg."""
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        return image.get_format_mimetype() or "application/octet-stream"


def _open(data: bytes, limits: ImageLimits) -> Image.Image:
    if not data:
        raise InvalidError("image: is empty; allowed is an encoded image file")
    if len(data) > limits.max_bytes:
        raise InvalidError(f"image: has {len(data)} bytes; allowed are at most {limits.max_bytes}")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        frames = getattr(image, "n_frames", 1)
    except (
        UnidentifiedImageError,
        Image.DecompressionBombError,
        OSError,
        ValueError,
        TypeError,
        SyntaxError,
        EOFError,
    ) as error:
        raise InvalidError(f"image: {len(data)} bytes that are no readable {', '.join(FORMATS)} file") from error
    if image.width * image.height > limits.max_pixels:
        raise InvalidError(
            f"image: is {image.width} x {image.height} pixels; allowed are at most {limits.max_pixels} in all"
        )
    if frames > 1 and image.format != "MPO":  # a camera's JPEG with previews behind it: the first is the image
        raise InvalidError(f"image: has {frames} frames; allowed is a still image")
    return image


def _load(image: Image.Image) -> Image.Image:
    try:
        image.load()
        return ImageOps.exif_transpose(image)
    except (OSError, ValueError, TypeError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise InvalidError(f"image: {image.format} file that cannot be decoded ({error})") from error


def _rgb(image: Image.Image) -> Image.Image:
    # Pillow clips 16-bit grey to white where it is converted as it is, so its high byte is taken first.
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        values: NDArray[np.float64] = np.nan_to_num(np.asarray(image, np.float64))
        if image.mode == "I" and values.max() > 255:
            values = np.floor(values / 256)
        return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8)).convert("RGB")
    return image.convert("RGB")
