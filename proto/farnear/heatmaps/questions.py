"""What sheets of heat maps show, asked of the service."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from farnear.client import Client
from farnear.errors import FarnearError
from farnear.heatmaps.sheet import COLUMNS, Row, Sheet, Tile
from farnear.indexing import Refusal
from farnear.inputs import ExplainTarget, HeatmapPicture, ItemId, Query, portions
from farnear.report.pictures import small
from farnear.results import Explanation, Heatmap, Hit

_MANY, _FEW = 112, 320  # px that a tile is wide, of many images and of a pair


@dataclass(frozen=True, kw_only=True)
class Subject:
    """An image to be explained: one that `read` gives, or the stored item `name`."""

    name: str
    read: Callable[[], bytes] | None = None


def subject_of(argument: str, query: Query) -> Subject:
    """What an IMAGE argument names, and stands for."""
    if isinstance(query, ItemId):
        return Subject(name=query.value)
    assert isinstance(query, bytes), "an IMAGE is a stored item or a file"
    content = query
    return Subject(name="stdin" if argument == "-" else Path(argument).name, read=lambda: content)


def of_images(
    client: Client, collection: str, subjects: Sequence[Subject], *, target: ExplainTarget, title: str
) -> tuple[Sheet, list[Refusal]]:
    """Each image with its heat map below it, and the images that were refused.

    Args:
        client: Of the service.
        collection: Whose bundle explains.
        subjects: What to explain.
        target: SELF or CLUSTER.
        title: Of the sheet.
    """
    side = _MANY if len(subjects) > 1 else _FEW
    tiles: list[tuple[Tile, Tile]] = []
    refused: list[Refusal] = []
    for subject in tqdm(subjects, desc="explaining", unit=" images", disable=None):
        try:
            image, query = _opened(client, collection, subject)
        except (OSError, ValueError) as error:
            refused.append(Refusal(item_id=subject.name, error=str(error)))
            continue
        (explanation,) = client.explain(collection, [query], target=target, picture=HeatmapPicture.OVERLAY)
        if explanation.error is not None:
            refused.append(Refusal(item_id=subject.name, error=str(explanation.error)))
        else:
            own = Tile(caption=subject.name, image=small(image, side))
            tiles.append((own, _map_tile(_heatmap(explanation), _measure(explanation), side)))
    groups = [
        (Row(title="images", tiles=[own for own, _ in part]), Row(title="heat maps", tiles=[heat for _, heat in part]))
        for part in portions(tiles, COLUMNS)
    ]
    leads = {
        ExplainTarget.SELF: "Where in each image its embedding comes from.",
        ExplainTarget.CLUSTER: "What in each image makes it like the medoid of its cluster.",
    }
    return Sheet(title=title, lead=leads[target], groups=groups, side=side), refused


def of_pair(client: Client, collection: str, subject: Subject, other: Subject) -> tuple[Sheet, float]:
    """Two images with what makes them alike, and what makes them unlike; and their cosine similarity.

    Raises:
        FarnearError: If one of them is refused.
    """
    (image, query), (other_image, other_query) = (_opened(client, collection, one) for one in (subject, other))
    rows, similarity = [], 0.0
    for target, title in ((ExplainTarget.PAIR_SIMILAR, "alike"), (ExplainTarget.PAIR_DIVERGENT, "unlike")):
        (explanation,) = client.explain(
            collection, [query], target=target, others=[other_query], picture=HeatmapPicture.OVERLAY
        )
        if explanation.error is not None:
            raise explanation.error
        assert explanation.other_heatmap is not None, "both have images"
        assert explanation.similarity is not None, "they are a pair"
        similarity = explanation.similarity
        maps = (_heatmap(explanation), explanation.other_heatmap)
        rows.append(Row(title=title, tiles=[_map_tile(one, _range(one), _FEW) for one in maps]))
    images = ((subject, image), (other, other_image))
    own = Row(title="images", tiles=[Tile(caption=one.name, image=small(data, _FEW)) for one, data in images])
    sheet = Sheet(
        title=f"{subject.name} and {other.name}",
        lead=f"Cosine similarity {similarity:.3f}: what in each of the two makes them alike, and what unlike.",
        groups=[[own, *rows]],
        side=_FEW,
    )
    return sheet, similarity


def of_hits(
    client: Client, collection: str, lists: Sequence[tuple[str, Sequence[Hit]]], *, title: str, query: Subject | None
) -> Sheet:
    """Explained hits with their heat maps below them, and those of the query where the two are a pair.

    Args:
        client: Of the service.
        collection: Where they were found.
        lists: Each with its title.
        title: Of the sheet.
        query: What was searched for; None for recommendations.
    """
    groups: list[list[Row]] = []
    if query is not None:
        groups.append([Row(title="query", tiles=[_image_tile(client, collection, query, query.name)])])
    for name, hits in lists:
        for part in portions(hits, COLUMNS):
            captions = [f"{hit.item_id}\nrank {hit.rank}, {hit.similarity:.3f}" for hit in part]
            images = [
                _image_tile(client, collection, Subject(name=hit.item_id), caption)
                for hit, caption in zip(part, captions, strict=True)
            ]
            rows = [Row(title=name, tiles=images)]
            for below, maps in (
                ("heat maps", [hit.heatmap for hit in part]),
                ("on the query", [hit.query_heatmap for hit in part]),
            ):
                if any(one is not None for one in maps):
                    tiles = [
                        _missing(hit) if one is None else _map_tile(one, _range(one), _MANY)
                        for hit, one in zip(part, maps, strict=True)
                    ]
                    rows.append(Row(title=below, tiles=tiles))
            groups.append(rows)
    are_pairs = any(hit.query_heatmap is not None for _, hits in lists for hit in hits)
    lead = (
        "What in each hit, and in the query, makes similar ones like it and divergent ones unlike it."
        if are_pairs
        else "What was found, and where in each image its embedding comes from."
    )
    return Sheet(title=title, lead=lead, groups=groups, side=_MANY)


def _opened(client: Client, collection: str, subject: Subject) -> tuple[bytes, Query]:
    """An image, and the query that asks about it."""
    if subject.read is None:
        return client.get_item_image(collection, subject.name).data, ItemId(subject.name)
    content = subject.read()
    return content, content


def _image_tile(client: Client, collection: str, subject: Subject, caption: str) -> Tile:
    try:
        image, _ = _opened(client, collection, subject)
    except FarnearError as error:
        return Tile(caption=caption, reason=str(error))
    return Tile(caption=caption, image=small(image))


def _map_tile(heatmap: Heatmap, caption: str, side: int) -> Tile:
    assert heatmap.picture_png is not None, "an overlay was asked for"
    return Tile(caption=caption, image=small(heatmap.picture_png, side))


def _missing(hit: Hit) -> Tile:
    return Tile(caption="", reason=str(hit.heatmap_error) if hit.heatmap_error is not None else "none")


def _heatmap(explanation: Explanation) -> Heatmap:
    assert explanation.heatmap is not None, "it was not refused"
    return explanation.heatmap


def _measure(explanation: Explanation) -> str:
    if explanation.cluster is None:
        return _range(_heatmap(explanation))
    return f"cluster {explanation.cluster}, {explanation.similarity:.3f}\nto {explanation.other_item_id}"


def _range(heatmap: Heatmap) -> str:
    values = f"{heatmap.least:.2g} to {heatmap.greatest:.2g}"
    return values if heatmap.greatest > 0 else f"nothing: {values}"
