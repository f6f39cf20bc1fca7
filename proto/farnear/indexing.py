"""Indexing: storing the images of a folder or tar in a collection, as often as it takes."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from tqdm import tqdm

from farnear.client import Client
from farnear.images import SourceImage
from farnear.inputs import NewItem, batches


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


def index_images(client: Client, collection: str, images: Sequence[SourceImage]) -> IndexReport:
    """Stores those images whose id is not in the collection yet, with a progress bar and a line per refusal on stderr.

    An interrupted run is taken up by calling again: what was acknowledged is there, the rest is sent.

    Raises:
        FarnearError: If a call as a whole is refused or fails; images acknowledged before stand.
    """
    present = {item.item_id for item in client.list_items(collection)}
    missing = [image for image in images if image.item_id not in present]
    refused: list[Refusal] = []
    indexed = 0
    with tqdm(total=len(missing), desc=f"indexing into {collection}", unit=" images", disable=None) as bar:

        def refuse(item_id: str, error: str) -> None:
            refused.append(Refusal(item_id=item_id, error=error))
            bar.write(f"farnear: refused {item_id}: {' '.join(error.split())}", file=sys.stderr)

        for batch in batches(_readable(missing, refuse)):
            for outcome in client.upsert(collection, batch):
                if outcome.error is None:
                    indexed += 1
                else:
                    refuse(outcome.item_id, str(outcome.error))
            bar.update(indexed + len(refused) - bar.n)
        bar.update(indexed + len(refused) - bar.n)
    return IndexReport(indexed=indexed, skipped=len(images) - len(missing), refused=tuple(refused))


def _readable(images: Iterable[SourceImage], refuse: Callable[[str, str], None]) -> Iterator[NewItem]:
    for image in images:
        try:
            image.item_id.encode()
            item = NewItem(item_id=image.item_id, label=image.label, content=image.read())
        except UnicodeEncodeError:
            refuse(image.item_id, "the file name is not UTF-8")
        except OSError as error:
            refuse(image.item_id, error.strerror or str(error))
        except ValueError as error:
            refuse(image.item_id, str(error))
        else:
            yield item
