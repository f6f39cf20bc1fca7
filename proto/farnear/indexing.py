"""Indexing: storing the images of a folder or tar in a collection, as often as it takes."""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from tqdm import tqdm

from farnear.attributes import Attributes
from farnear.client import Client
from farnear.images import SourceImage
from farnear.inputs import NewItem


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """An image that was not stored, and why."""

    item_id: str
    error: str


@dataclass(frozen=True, kw_only=True)
class IndexReport:
    """What became of the images.

    Attributes:
        indexed: Stored now.
        skipped: Passed over, as their id was there already.
        refused: Not stored.
    """

    indexed: int
    skipped: int
    refused: tuple[Refusal, ...]


def index_images(
    client: Client,
    collection: str,
    images: Sequence[SourceImage],
    *,
    attributes: Mapping[str, Attributes] | None = None,
    source_base: str | None = None,
    replace: bool = False,
) -> IndexReport:
    """Stores images, with a progress bar and a line per refusal on stderr.

    An interrupted run is taken up by calling again: what was acknowledged is there, the rest is sent.

    Args:
        client: A connection to the service.
        collection: Where to store them.
        images: What to store.
        attributes: What else is known of them, by item id.
        source_base: The URI that the item ids are relative to, for their source URIs; None for none.
        replace: Whether to store those too whose id is in the collection already, in place of what is there.

    Raises:
        FarnearError: If a call as a whole is refused or fails; images acknowledged before stand.
    """
    if source_base is not None and not source_base.endswith("/"):
        source_base += "/"
    present = frozenset() if replace else {item.item_id for item in client.list_items(collection)}
    missing = [image for image in images if image.item_id not in present]
    refused: list[Refusal] = []
    indexed = 0

    def new_item(image: SourceImage) -> NewItem:
        return NewItem(
            item_id=image.item_id,
            label=image.label,
            content=image.read(),
            attributes=(attributes or {}).get(image.item_id, {}),
            source_uri="" if source_base is None else source_base + quote(image.item_id),
        )

    with tqdm(total=len(missing), desc=f"indexing into {collection}", unit=" images", disable=None) as bar:

        def refuse(item_id: str, error: str) -> None:
            refused.append(Refusal(item_id=item_id, error=error))
            bar.write(f"farnear: refused {item_id}: {' '.join(error.split())}", file=sys.stderr)
            bar.update()

        for outcome in client.upsert_stream(collection, _readable(missing, new_item, refuse)):
            if outcome.error is None:
                indexed += 1
                bar.update()
            else:
                refuse(outcome.item_id, str(outcome.error))
    return IndexReport(indexed=indexed, skipped=len(images) - len(missing), refused=tuple(refused))


def _readable(
    images: Iterable[SourceImage], new_item: Callable[[SourceImage], NewItem], refuse: Callable[[str, str], None]
) -> Iterator[NewItem]:
    for image in images:
        try:
            image.item_id.encode()
            item = new_item(image)
        except UnicodeEncodeError:
            refuse(image.item_id, "the file name is not UTF-8")
        except OSError as error:
            refuse(image.item_id, error.strerror or str(error))
        except ValueError as error:
            refuse(image.item_id, str(error))
        else:
            yield item
