"""The nouns that pass between the parts of the service.

Arrays carry their shape in their name: B batch, D embedding dimension, H and W pixels, N items.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from farnear_service.errors import InvalidError, ServiceError

MAX_TEXT_BYTES = 512
MAX_URI_BYTES = 2048

_CONTROL = re.compile("[\\x00-\\x1f\\x7f-\\x9f]")  # Unicode's category Cc

FloatArray = NDArray[np.float32]
ByteArray = NDArray[np.uint8]


class ImageRetention(Enum):
    """What is kept of an image after it was embedded."""

    ORIGINAL = "original"
    THUMBNAIL = "thumbnail"
    NONE = "none"


class AttributeType(Enum):
    """What kind of values an attribute has."""

    STRING = "string"
    NUMBER = "number"
    BOOL = "bool"
    TIMESTAMP = "timestamp"


AttributeValue = str | float | bool | datetime
"""A value of an attribute: text, a finite float, a truth value, or a time with a zone, to the microsecond."""

Attributes = Mapping[str, AttributeValue]
Schema = Mapping[str, AttributeType]


class IndexKind(Enum):
    """How a collection is searched."""

    FLAT = "flat"
    APPROXIMATE = "approximate"


@dataclass(frozen=True, kw_only=True)
class IndexSettings:
    """How a collection is searched; `target_recall`, in (0, 1), is what an approximate index must reach at an end."""

    kind: IndexKind = IndexKind.FLAT
    target_recall: float = 0.99


class Opinion(Enum):
    """What a user thought of an item that was met."""

    SEEN = "seen"
    LIKED = "liked"
    DISLIKED = "disliked"


class ExplainTarget(Enum):
    """What a heat map explains: the embedding, the likeness or unlikeness of a pair, or what ties to the cluster."""

    SELF = "self"
    PAIR_SIMILAR = "pair-similar"
    PAIR_DIVERGENT = "pair-divergent"
    CLUSTER = "cluster"


class HeatmapPicture(Enum):
    """The form of a heat map's picture: over the image, or alone."""

    OVERLAY = "overlay"
    HEATMAP = "heatmap"


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
    """An item to store. Content None is refused, as one entry of its batch, and so is an attribute without a value."""

    item_id: str
    label: str
    content: Image | Vector | None
    attributes: Mapping[str, AttributeValue | None] = field(default_factory=dict)
    source_uri: str = ""


@dataclass(frozen=True, kw_only=True)
class Item:
    """A stored item. `cluster` is None until it is on a map; -1 is noise. `created` is Unix time in seconds."""

    key: int
    item_id: str
    label: str
    created: float
    has_image: bool
    attributes: Attributes = field(default_factory=dict)
    source_uri: str = ""
    cluster: int | None = None


@dataclass(frozen=True, kw_only=True)
class Collection:
    """A stored collection. `key` is never reused; `created` is Unix time in seconds; `schema` types its attributes."""

    key: int
    name: str
    bundle_name: str
    bundle_digest: str
    dim: int
    retention: ImageRetention
    created: float
    schema: Schema = field(default_factory=dict)
    index: IndexSettings = field(default_factory=IndexSettings)


@dataclass(frozen=True, kw_only=True)
class Interaction:
    """What a user did with an item, at Unix time `time` in seconds."""

    item_id: str
    opinion: Opinion
    time: float


@dataclass(frozen=True, kw_only=True)
class Heatmap:
    """`values` float32 of shape (h, w) over the feature layer, not scaled, of pairs signed; `picture`: PNG or empty."""

    values: FloatArray
    picture: bytes = b""


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """A heat map, and what it compares with, where it is one of a pair.

    Attributes:
        heatmap: Of the image that was asked about.
        other_heatmap: Of the other side, where that has an image.
        similarity: The cosine of the two.
        cluster: The cluster whose medoid the other side is.
        other_item_id: The medoid's id; empty unless `cluster` is set.
    """

    heatmap: Heatmap
    other_heatmap: Heatmap | None = None
    similarity: float | None = None
    cluster: int | None = None
    other_item_id: str = ""


class Hit(NamedTuple):
    """One answer of a search: `similarity` is the cosine, in [-1, 1].

    `explanation` is set where heat maps were asked for: the hit's with the query's as the other side, or a refusal.
    A tuple, because a batch makes thousands of them: as frozen dataclasses they took longer than the search.
    """

    key: int
    item_id: str
    label: str
    similarity: float
    cluster: int | None = None
    explanation: Explanation | ServiceError | None = None


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """The `recall` at `k` that an approximate index showed over `queries` held-back queries at Unix time `time`."""

    recall: float
    k: int
    queries: int
    time: float


@dataclass(frozen=True, kw_only=True)
class Hits:
    """One list of a search, in order. `certificate` None: it is exactly what comparing every item gives."""

    hits: tuple[Hit, ...] = ()
    certificate: Certificate | None = None


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """Both lists of a search; None the one that was not asked for. `heatmap` is the query's own, where asked for."""

    similar: Hits | None = None
    divergent: Hits | None = None
    heatmap: Heatmap | None = None


def check_text(field: str, text: str, *, required: bool, limit: int = MAX_TEXT_BYTES) -> None:
    """Raises InvalidError unless `text` is at most `limit` bytes of UTF-8 without control characters."""
    if required and not text:
        raise InvalidError(f"{field}: is empty; allowed are 1 to {limit} bytes of UTF-8")
    size = len(text.encode())
    if size > limit:
        raise InvalidError(f"{field}: has {size} bytes; allowed are at most {limit}")
    if _CONTROL.search(text):
        raise InvalidError(f"{field}: {text!r} has control characters; allowed is text without them")


def unit_vector(field: str, values: FloatArray, dim: int) -> FloatArray:
    """`values` of shape (D,) scaled to unit length, float32; InvalidError for another shape, NaN, infinity or zero."""
    if values.shape != (dim,):
        raise InvalidError(f"{field}: has {values.size} values; the collection's bundle has dimension {dim}")
    exact = values.astype(np.float64)
    length = math.sqrt(np.square(exact).sum())  # of float32 values, so it cannot overflow
    if not math.isfinite(length):
        raise InvalidError(f"{field}: has values that are NaN or infinite; allowed are finite values")
    if length == 0.0:
        raise InvalidError(f"{field}: is all zero and so has no direction; allowed is any other vector")
    return (exact / length).astype(np.float32)


Outcome = ServiceError | None
"""What became of one entry of a batch: stored, or the reason why not."""
