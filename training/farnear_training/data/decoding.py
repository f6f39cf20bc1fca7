"""Encoded images -> pixels, by the one rule that the service follows too (ARCHITECTURE.md, "The bundle").

Any other decoder or filter moves the embeddings.
"""

import io
import struct

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from farnear_training.data.errors import DataError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
MAX_PIXELS = 64_000_000


def decode(data: bytes, width: int, height: int) -> NDArray[np.uint8]:
    """Pixels of an encoded image, RGB, uint8 of shape (height, width, 3).

    Raises DataError for anything but one complete, still image in an allowed format within the pixel limit.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check(image)
            image.draft("RGB", (2 * width, 2 * height))  # JPEG only: decodes scaled down, never below this size
            image.load()
            upright = ImageOps.exif_transpose(image)
            return np.asarray(_rgb(upright).resize((width, height), Image.Resampling.BILINEAR))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DataError(f"too many pixels; allowed are at most {MAX_PIXELS} in all") from error
    except DataError:
        raise
    except UnidentifiedImageError as error:  # its own words hold an address in memory
        raise DataError(f"not a {', '.join(FORMATS)} image") from error
    except (OSError, ValueError, TypeError, SyntaxError, EOFError, struct.error) as error:  # what Pillow raises
        raise DataError(f"not a complete {', '.join(FORMATS)} image ({error})") from error


def _check(image: Image.Image) -> None:
    """Refuses by its header what is too large or moves, before anything is decoded."""
    if image.width * image.height > MAX_PIXELS:
        raise DataError(f"{image.width} x {image.height} pixels; allowed are at most {MAX_PIXELS} in all")
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # a camera's JPEG with previews behind it: the first is the image
        raise DataError(f"{frames} frames; allowed is a still image")


def _rgb(image: Image.Image) -> Image.Image:
    # Pillow clips 16-bit grey to white where it is converted as it is, so its high byte is taken first.
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "I":
        values = np.asarray(image)
        eight_bit = values >> 8 if values.max() > 255 else values
        return Image.fromarray(np.clip(eight_bit, 0, 255).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        return Image.fromarray(np.clip(np.nan_to_num(np.asarray(image)), 0, 255).astype(np.uint8)).convert("RGB")
    return image.convert("RGB")
