"""What a caller hands to a client: queries, and items to store."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

MAX_CONTENT_BYTES = 64 * 2**20
"""The most bytes an image can have to fit into one call; a service allows fewer by default (16 MiB)."""

_BATCH_ITEMS = 128
_BATCH_BYTES = 16 * 2**20


class Direction(StrEnum):
    """Which end of the cosine scale a search answers for."""

    SIMILAR = "similar"
    DIVERGENT = "divergent"
    BOTH = "both"


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

    Raises:
        ValueError: If the image is larger than any call can carry.
    """

    item_id: str
    content: bytes | Vector
    label: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.content, bytes) and len(self.content) > MAX_CONTENT_BYTES:
            raise ValueError(f"content: {len(self.content):,} bytes, at most {MAX_CONTENT_BYTES:,} can be sent")


def batches(items: Iterable[NewItem]) -> Iterator[list[NewItem]]:
    """Splits items, in order and lazily, into batches for one call each: at most 128 items and 16 MiB of content.

    An item that is larger by itself makes a batch alone.
    """
    batch: list[NewItem] = []
    batch_bytes = 0
    for item in items:
        size = len(item.content) if isinstance(item.content, bytes) else 4 * len(item.content.values)
        if batch and (len(batch) == _BATCH_ITEMS or batch_bytes + size > _BATCH_BYTES):
            yield batch
            batch, batch_bytes = [], 0
        batch.append(item)
        batch_bytes += size
    if batch:
        yield batch
