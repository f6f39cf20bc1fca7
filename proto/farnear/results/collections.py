"""Collections, and their moves to another bundle."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from farnear.attributes import AttributeType
from farnear.inputs import ImageRetention, IndexSettings


@dataclass(frozen=True, kw_only=True)
class Activation:
    """A collection's move to another bundle that is under way.

    Attributes:
        bundle: The name of the bundle to be.
        bundle_digest: Its content digest, 64 hex digits.
        done_count: Items embedded so far, of `item_count`.
        item_count: Items to embed.
    """

    bundle: str
    bundle_digest: str
    done_count: int
    item_count: int


@dataclass(frozen=True, kw_only=True)
class Collection:
    """Items that share one embedding space.

    Attributes:
        name: Unique in the service.
        bundle: The name under which its model bundle is served.
        bundle_digest: Content digest of the bundle, 64 hex digits; `activate_bundle` changes it.
        item_count: Acknowledged items.
        embedding_dim: Length D of the vectors.
        create_time: When it was made, in UTC.
        image_retention: What is kept of the images.
        attributes: The types of the attributes by name, as declared or as the first item that had one made it.
        index: How it is searched.
        activation: The move to another bundle that is under way; None unless one is.
        activation_error: Why the last move came to no end; empty where it did, and after a restart of the service.
    """

    name: str
    bundle: str
    bundle_digest: str
    item_count: int
    embedding_dim: int
    create_time: datetime
    image_retention: ImageRetention
    attributes: Mapping[str, AttributeType] = field(hash=False)
    index: IndexSettings
    activation: Activation | None
    activation_error: str = ""
