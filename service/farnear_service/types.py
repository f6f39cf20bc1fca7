"""The nouns that pass between the parts of the service.

Arrays carry their shape in their name: B batch, D embedding dimension, H and W pixels, N items.
"""

import unicodedata
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from farnear_service.errors import InvalidError, ServiceError

MAX_TEXT_BYTES = 512

FloatArray = NDArray[np.float32]
ByteArray = NDArray[np.uint8]


class ImageRetention(Enum):
    """What is kept of an image after it was embedded."""

    ORIGINAL = "original"
    NONE = "none"


class Direction(Enum):
    """Which end of the similarity scale is asked for."""

    SIMILAR = "similar"
    DIVERGENT = "divergent"
    BOTH = "both"


@dataclass(frozen=True, kw_only=True)
class Image:
    """An encoded image file."""

    data: bytes


@dataclass(frozen=True, kw_only=True)
class ItemRef:
    """A stored item, by id."""

    item_id: str


@dataclass(frozen=True, kw_only=True)
class Vector:
    """A ready vector: `values` float32 of shape (D,), any length but zero, made by the bundle `bundle_digest`."""

    values: FloatArray
    bundle_digest: str


Query = Image | ItemRef | Vector


@dataclass(frozen=True, kw_only=True)
class NewItem:
    """An item to store. Content None is refused, as one entry of its batch."""

    item_id: str
    label: str
    content: Image | Vector | None


@dataclass(frozen=True, kw_only=True)
class Item:
    """A stored item. `cluster` is None until it is on a map; -1 is noise. `created` is Unix time in seconds."""

    key: int
    item_id: str
    label: str
    created: float
    has_image: bool
    cluster: int | None = None


@dataclass(frozen=True, kw_only=True)
class Collection:
    """A stored collection. `key` is never reused; `created` is Unix time in seconds."""

    key: int
    name: str
    bundle_name: str
    bundle_digest: str
    dim: int
    retention: ImageRetention
    created: float


@dataclass(frozen=True, kw_only=True)
class Hit:
    """One answer of a search: `similarity` is the cosine, in [-1, 1]."""

    key: int
    item_id: str
    label: str
    similarity: float
    cluster: int | None = None


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """Both lists of a search; the one that was not asked for is empty."""

    similar: tuple[Hit, ...] = ()
    divergent: tuple[Hit, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Heatmap:
    """`values` float32 of shape (h, w) over the feature layer, 0 or more, not scaled; `picture` a PNG or empty."""

    values: FloatArray
    picture: bytes = b""


def check_text(field: str, text: str, *, required: bool) -> None:
    """Raises InvalidError unless `text` is at most 512 bytes of UTF-8 without control characters."""
    if required and not text:
        raise InvalidError(f"{field}: is empty; allowed are 1 to {MAX_TEXT_BYTES} bytes of UTF-8")
    size = len(text.encode())
    if size > MAX_TEXT_BYTES:
        raise InvalidError(f"{field}: has {size} bytes; allowed are at most {MAX_TEXT_BYTES}")
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise InvalidError(f"{field}: {text!r} has control characters; allowed is text without them")


def unit_vector(field: str, values: FloatArray, dim: int) -> FloatArray:
    """`values` of shape (D,) scaled to unit length, float32; InvalidError for another shape, NaN, infinity or zero."""
    if values.shape != (dim,):
        raise InvalidError(f"{field}: has {values.size} values; the collection's bundle has dimension {dim}")
    exact = values.astype(np.float64)
    if not np.isfinite(exact).all():
        raise InvalidError(f"{field}: has values that are NaN or infinite; allowed are finite values")
    length = np.linalg.norm(exact)
    if length == 0.0:
        raise InvalidError(f"{field}: is all zero and so has no direction; allowed is any other vector")
    return (exact / length).astype(np.float32)


Outcome = ServiceError | None
"""What became of one entry of a batch: stored, or the reason why not."""
