"""What a caller hands to a client: queries, items to store, and the choices that calls offer."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import TypeAlias, TypeVar

from farnear.attributes import Attributes, check_value

MAX_CONTENT_BYTES = 64 * 2**20
"""The most bytes an image can have to fit into one call; a service allows fewer by default (16 MiB)."""

_BATCH_IMAGES = 128
_BATCH_ITEMS = 1000
_BATCH_BYTES = 16 * 2**20

_Entry = TypeVar("_Entry")


class Direction(StrEnum):
    """Which end of the cosine scale a search answers for."""

    SIMILAR = "similar"
    DIVERGENT = "divergent"
    BOTH = "both"


class ExplainTarget(StrEnum):
    """What a heat map explains.

    SELF: where the embedding comes from (Yasuno et al. 2023, eq. 6-8). PAIR_SIMILAR and PAIR_DIVERGENT: what in two
    images makes them alike, or unlike (Grad-CAM of their cosine, Zhu et al. 2019). CLUSTER: what ties an image to its
    cluster, as PAIR_SIMILAR with the medoid.
    """

    SELF = "self"
    PAIR_SIMILAR = "pair-similar"
    PAIR_DIVERGENT = "pair-divergent"
    CLUSTER = "cluster"


class HeatmapPicture(StrEnum):
    """The form of a heat map's picture, a PNG of at most 1,024 px a side: over the image, or alone."""

    OVERLAY = "overlay"
    HEATMAP = "heatmap"


@dataclass(frozen=True, kw_only=True)
class ExplainHits:
    """Asks a search, or a recommendation, for heat maps of its hits, at most 100 in all.

    Attributes:
        target: A pair is the query and the hit. None: PAIR_SIMILAR for similar hits and PAIR_DIVERGENT for divergent
            ones where the query has an image, else SELF. Recommendations have SELF and CLUSTER alone.
        picture: The form of the pictures; None for none.
    """

    target: ExplainTarget | None = None
    picture: HeatmapPicture | None = None


@dataclass(frozen=True)
class ItemId:
    """Asks about a stored item, which is left out of its own hits: `ItemId("crack/017.png")`."""

    value: str


@dataclass(frozen=True, kw_only=True)
class Vector:
    """A ready vector of a bundle's embedding space.

    Attributes:
        values: D finite numbers, D being the bundle's embedding dimension, taken as float32. They need not have unit
            length but must not all be zero.
        bundle_digest: `Collection.bundle_digest` of the bundle that made the vector, 64 hex digits.
    """

    values: Sequence[float]
    bundle_digest: str


Query: TypeAlias = bytes | ItemId | Vector
"""What is asked about: `bytes` are an encoded JPEG, PNG, WebP, BMP or TIFF file."""


@dataclass(frozen=True, kw_only=True)
class NewItem:
    """An item to store.

    Attributes:
        item_id: Unique within the collection; 1 to 512 bytes of UTF-8 without control characters.
        content: An encoded image, at most `MAX_CONTENT_BYTES`, or a ready vector.
        label: The predefined class, at most 512 bytes of UTF-8; empty where none is known.
        attributes: What else is known of it. A name is 1 to 64 of a-z, A-Z, 0-9, '_', '-', '.', starting with a letter;
            its type is that which the collection has for it, or becomes it.
        source_uri: Where the image came from, at most 2,048 bytes of UTF-8; for people, the service never opens it.

    Raises:
        TypeError: If an attribute is no str, number, bool or datetime.
        ValueError: If the image is larger than any call can carry, or an attribute cannot be sent: a datetime without a
            time zone, a number that is not finite, an integer that no double equals.
    """

    item_id: str
    content: bytes | Vector
    label: str = ""
    attributes: Attributes = field(default_factory=dict, hash=False)
    source_uri: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.content, bytes) and len(self.content) > MAX_CONTENT_BYTES:
            raise ValueError(f"content: {len(self.content):,} bytes, at most {MAX_CONTENT_BYTES:,} can be sent")
        for name, value in self.attributes.items():
            check_value(f"attributes[{name!r}]", value)


class ImageRetention(StrEnum):
    """What a collection keeps of images after they were embedded.

    ORIGINAL, byte for byte, can be shown, explained and embedded anew by another bundle; THUMBNAIL, a JPEG of at most
    256 px a side, can be shown and explained; of NONE there is only the vector.
    """

    ORIGINAL = "original"
    THUMBNAIL = "thumbnail"
    NONE = "none"


class IndexKind(StrEnum):
    """How a collection is searched: FLAT compares every item, APPROXIMATE only some, for large collections."""

    FLAT = "flat"
    APPROXIMATE = "approximate"


@dataclass(frozen=True, kw_only=True)
class IndexSettings:
    """How a collection is searched.

    Attributes:
        kind: FLAT is exact at both ends.
        target_recall: What APPROXIMATE must reach at either end, above 0 and below 1; an end that cannot stays exact.

    Raises:
        ValueError: If the target is not between 0 and 1.
    """

    kind: IndexKind = IndexKind.FLAT
    target_recall: float = 0.99

    def __post_init__(self) -> None:
        if not 0 < self.target_recall < 1:
            raise ValueError(f"target_recall: {self.target_recall}, allowed is above 0 and below 1")


class RecommendMode(StrEnum):
    """How to recommend.

    SIMILAR: toward what was liked and away from what was disliked. DIVERGENT: farthest from everything that was seen.
    DIVERSE: relevant, and unlike one another.
    """

    SIMILAR = "similar"
    DIVERGENT = "divergent"
    DIVERSE = "diverse"


class Opinion(StrEnum):
    """What a user thought of an item: SEEN says no more than that."""

    SEEN = "seen"
    LIKED = "liked"
    DISLIKED = "disliked"


@dataclass(frozen=True, kw_only=True)
class Interaction:
    """An item that a user met.

    Attributes:
        item_id: Of an item of the collection.
        opinion: What the user thought of it.
        time: When, with a time zone; None, in what is recorded, means now.

    Raises:
        ValueError: If the time has no time zone.
    """

    item_id: str
    opinion: Opinion = Opinion.SEEN
    time: datetime | None = None

    def __post_init__(self) -> None:
        if self.time is not None:
            check_value("time", self.time)


def batches(items: Iterable[NewItem]) -> Iterator[list[NewItem]]:
    """Splits items, in order and lazily, into batches for one call each.

    A batch has at most 128 images, 1,000 items and 16 MiB of content; an item that is larger makes a batch alone.
    """
    batch: list[NewItem] = []
    images = batch_bytes = 0
    for item in items:
        is_image = isinstance(item.content, bytes)
        size = len(item.content) if isinstance(item.content, bytes) else 4 * len(item.content.values)
        is_full = len(batch) == _BATCH_ITEMS or (is_image and images == _BATCH_IMAGES)
        if batch and (is_full or batch_bytes + size > _BATCH_BYTES):
            yield batch
            batch, images, batch_bytes = [], 0, 0
        batch.append(item)
        images += is_image
        batch_bytes += size
    if batch:
        yield batch


def portions(entries: Iterable[_Entry], size: int) -> Iterator[list[_Entry]]:
    """Splits entries, in order and lazily, into lists of at most `size`."""
    remaining = iter(entries)
    while portion := list(islice(remaining, size)):
        yield portion
