"""Items, their kept images, and what became of those to store."""

from dataclasses import dataclass, field
from datetime import datetime

from farnear.attributes import Attributes
from farnear.errors import FarnearError


@dataclass(frozen=True, kw_only=True)
class Item:
    """A stored item.

    Attributes:
        item_id: Unique within the collection.
        label: The predefined class, or empty where none is known.
        cluster: The density cluster the item is in now: 0, 1, 2, ...; -1 is noise; None until the first map is fitted.
        create_time: When the item was first acknowledged, in UTC.
        has_image: Whether an image of it is kept, the original or a thumbnail, so that it can be shown and explained.
        attributes: What else is known of it: numbers are float, times are in UTC.
        source_uri: Where its image came from, as whoever stored it said; empty where nothing was said.
    """

    item_id: str
    label: str
    cluster: int | None
    create_time: datetime
    has_image: bool
    attributes: Attributes = field(hash=False)
    source_uri: str


@dataclass(frozen=True, kw_only=True)
class ItemImage:
    """The image that is kept of an item.

    Attributes:
        data: The encoded file.
        media_type: As in image/jpeg.
        original: Whether it is what was stored, byte for byte; else a thumbnail.
    """

    data: bytes
    media_type: str
    original: bool


@dataclass(frozen=True, kw_only=True)
class UpsertOutcome:
    """What became of one item: stored where `error` is None."""

    item_id: str
    error: FarnearError | None
