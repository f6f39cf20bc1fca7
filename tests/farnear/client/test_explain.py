import pytest
from farnear import (
    Client,
    Direction,
    ExplainHits,
    ExplainTarget,
    FailedPreconditionError,
    HeatmapPicture,
    InvalidArgumentError,
    ItemId,
    NewItem,
    RecommendMode,
    Vector,
)

from tests.farnear.fake import FakeService


def test_explain_answers_each_query(client: Client, cells: str) -> None:
    explanations = client.explain(cells, [b"img 3 -4 0", b"junk", ItemId("c")])
    heatmap = explanations[0].heatmap
    assert heatmap is not None
    assert (heatmap.height, heatmap.width, heatmap.picture_png) == (1, 3, None)
    assert heatmap.values == pytest.approx((0.6, 0.8, 0.0))
    assert (heatmap.least, heatmap.greatest) == pytest.approx((0, 0.8))
    assert (explanations[1].heatmap, type(explanations[1].error)) == (None, InvalidArgumentError)
    assert explanations[2].error is None
    assert (explanations[0].other_heatmap, explanations[0].similarity, explanations[0].cluster) == (None, None, None)


def test_a_heatmap_can_be_drawn(client: Client, cells: str) -> None:
    drawn = client.heatmap(cells, ItemId("a"), picture=HeatmapPicture.OVERLAY)
    assert drawn.picture_png == b"\x89PNG overlay"
    assert client.heatmap(cells, ItemId("a"), picture=HeatmapPicture.HEATMAP).picture_png == b"map"
    with pytest.raises(InvalidArgumentError, match="not an image"):
        client.heatmap(cells, b"junk")
    with pytest.raises(ValueError, match="'mosaic' is not a valid HeatmapPicture"):
        client.heatmap(cells, ItemId("a"), picture="mosaic")  # type: ignore[arg-type]


def test_pairs_have_two_sides(client: Client, cells: str) -> None:
    query = b"img 3 -4 0"
    (alike,) = client.explain(cells, [query], target=ExplainTarget.PAIR_SIMILAR, others=[ItemId("a")])
    (unlike,) = client.explain(cells, [query], target=ExplainTarget.PAIR_DIVERGENT, others=[ItemId("a")])
    assert alike.similarity == unlike.similarity == pytest.approx(0.6)
    assert alike.heatmap is not None
    assert alike.heatmap.values == pytest.approx((0.6, 0, 0))
    assert alike.other_heatmap == alike.heatmap
    assert unlike.heatmap is not None
    assert (unlike.heatmap.least, unlike.heatmap.greatest) == pytest.approx((-0.6, 0))
    vector = Vector(values=[0, 1, 0], bundle_digest=client.get_collection(cells).bundle_digest)
    (one_sided,) = client.explain(cells, [query], target=ExplainTarget.PAIR_SIMILAR, others=[vector])
    assert (one_sided.other_heatmap, one_sided.similarity) == (None, pytest.approx(-0.8))
    with pytest.raises(InvalidArgumentError, match="others: has 0 entries"):
        client.explain(cells, [query], target=ExplainTarget.PAIR_SIMILAR)


def test_a_pair_without_likeness_has_a_similarity_all_the_same(client: Client, cells: str) -> None:
    (found,) = client.explain(cells, [ItemId("a")], target=ExplainTarget.PAIR_SIMILAR, others=[ItemId("c")])
    assert found.similarity == 0


def test_clusters_are_told_with_their_medoid(client: Client, cells: str) -> None:
    client.recluster(cells)
    (found,) = client.explain(cells, [ItemId("b")], target=ExplainTarget.CLUSTER)
    assert (found.cluster, found.other_item_id) == (0, "a")
    assert found.similarity == pytest.approx(0.9 / 0.82**0.5)
    assert found.other_heatmap is not None


def test_hits_come_with_heat_maps(client: Client, cells: str, service: FakeService) -> None:
    vector = Vector(values=[0, 0, 1], bundle_digest=client.get_collection(cells).bundle_digest)
    client.upsert(cells, [NewItem(item_id="v", content=vector)])
    both = client.both(cells, ItemId("a"), k=4, explain=ExplainHits(picture=HeatmapPicture.OVERLAY))
    by_id = {hit.item_id: hit for hit in both.similar}
    assert by_id["d"].heatmap is not None
    assert (by_id["d"].heatmap.values, by_id["d"].heatmap.picture_png) == ((-1, 0, 0), service.overlay)
    assert by_id["d"].query_heatmap is not None
    assert by_id["d"].heatmap_error is None
    assert (by_id["v"].heatmap, type(by_id["v"].heatmap_error)) == (None, FailedPreconditionError)
    assert both.divergent[0].heatmap is not None
    assert both.query_heatmap is None
    (alone,) = client.search(
        cells, [ItemId("a")], direction=Direction.SIMILAR, k=1, explain=ExplainHits(target=ExplainTarget.SELF)
    )
    assert alone.query_heatmap is not None
    assert alone.similar[0].heatmap is not None
    assert alone.similar[0].query_heatmap is None
    (plain,) = client.similar(cells, ItemId("a"), k=1)
    assert plain.heatmap is None


def test_recommendations_come_with_heat_maps(client: Client, cells: str) -> None:
    hits = client.recommend(cells, liked=[ItemId("a")], mode=RecommendMode.SIMILAR, k=1, explain=ExplainHits())
    assert hits[0].heatmap is not None
    assert hits[0].query_heatmap is None
