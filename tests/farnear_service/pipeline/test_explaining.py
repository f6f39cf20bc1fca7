import io
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from farnear_service.bundle import load_bundle
from farnear_service.embedder import Embedder
from farnear_service.errors import InvalidError, NotFoundError, PreconditionError
from farnear_service.image import ImageLimits, decode
from farnear_service.pipeline import Answer, ExplainHits, Mode, Pipeline, Wish, explaining
from farnear_service.types import (
    Direction,
    ExplainTarget,
    Explanation,
    Heatmap,
    HeatmapPicture,
    Image,
    ImageRetention,
    ItemRef,
    NewItem,
    Vector,
)
from PIL import Image as Pillow

from tests.farnear_service.heatmaps import features_of, grad_cam, pair_heatmap, weights_of

Opened = Callable[..., AbstractAsyncContextManager[Pipeline]]
MakePicture = Callable[[int], bytes]
SIMILAR, DIVERGENT = ExplainTarget.PAIR_SIMILAR, ExplainTarget.PAIR_DIVERGENT


def pixels_of(picture: bytes) -> np.ndarray:
    return decode(picture, 16, 16, ImageLimits())


@pytest.fixture
def vector_of(heatmap_bundle: Path) -> Callable[[bytes], np.ndarray]:
    embedder = Embedder(load_bundle(heatmap_bundle), threads=1)
    return lambda picture: embedder.embed([pixels_of(picture)])[0]


@pytest.fixture
def own(heatmap_bundle: Path) -> Callable[[bytes], np.ndarray]:
    """The heat map of a picture alone, by derivatives."""
    weights = weights_of(heatmap_bundle)

    def score(features: np.ndarray) -> float:
        return float((np.einsum("kp,kpd->d", features, weights) ** 2).sum())

    return lambda picture: grad_cam(score, features_of(pixels_of(picture))).clip(min=0)


@pytest.fixture
def toward(heatmap_bundle: Path) -> Callable[[bytes, np.ndarray], np.ndarray]:
    """The heat map of a picture's cosine with a vector, by derivatives."""
    weights = weights_of(heatmap_bundle)
    return lambda picture, vector: pair_heatmap(weights, features_of(pixels_of(picture)), vector)


@pytest.fixture
def explained(opened: Opened, heatmap_bundle: Path) -> Opened:
    return lambda **changes: opened(bundles={"tiny": heatmap_bundle}, **changes)


async def fill(pipeline: Pipeline, pictures: dict[str, bytes], **collection: Any) -> None:
    await pipeline.catalog.create_collection("cells", "tiny", collection.get("retention", ImageRetention.ORIGINAL))
    items = [NewItem(item_id=name, label="", content=Image(data=picture)) for name, picture in pictures.items()]
    assert await pipeline.upsert("cells", items) == [None] * len(items)


def vector_query(pipeline: Pipeline, values: Any) -> Vector:
    return Vector(values=np.array(values, np.float32), bundle_digest=pipeline.catalog.bundles()["tiny"].digest)


def assert_map(heatmap: Any, expected: np.ndarray) -> None:
    assert isinstance(heatmap, Heatmap), heatmap
    np.testing.assert_allclose(heatmap.values, expected, atol=2e-4 * np.abs(expected).max())


def served(results: Any) -> list[Explanation]:
    assert all(isinstance(result, Explanation) for result in results), results
    return list(results)


# Images and items


async def test_each_image_and_item_is_answered_between_bad_ones(
    explained: Opened, make_picture: MakePicture, own: Any
) -> None:
    async with explained() as pipeline:
        await fill(pipeline, {"a": make_picture(1)})
        queries = [Image(data=b"text"), ItemRef(item_id="a"), ItemRef(item_id="x"), Image(data=make_picture(2))]
        for picture in (None, *HeatmapPicture):
            results = await pipeline.explain("cells", queries, picture=picture)
            assert [type(result) for result in results] == [InvalidError, Explanation, NotFoundError, Explanation]
            for seed, result in ((1, results[1]), (2, results[3])):
                assert isinstance(result, Explanation)
                assert_map(result.heatmap, own(make_picture(seed)))
                assert result.heatmap.picture.startswith(b"\x89PNG") == (picture is not None)
                assert (result.other_heatmap, result.similarity, result.cluster) == (None, None, None)


async def test_too_many_bytes_of_pictures_are_refused(
    explained: Opened, make_picture: MakePicture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with explained() as pipeline:
        await fill(pipeline, {"a": make_picture(1)})
        monkeypatch.setattr(explaining, "MAX_PICTURE_BYTES", 10)
        with pytest.raises(InvalidError, match=r"picture: 1 of them have \d+ bytes; allowed are at most 10 in one"):
            await pipeline.explain("cells", [ItemRef(item_id="a")], picture=HeatmapPicture.OVERLAY)
        served(await pipeline.explain("cells", [ItemRef(item_id="a")]))


# Pairs


@pytest.mark.parametrize(("target", "sign"), [(SIMILAR, 1), (DIVERGENT, -1)])
async def test_both_sides_of_a_pair_are_explained(
    explained: Opened, make_picture: MakePicture, vector_of: Any, toward: Any, target: ExplainTarget, sign: int
) -> None:
    a, b = make_picture(1), make_picture(2)
    async with explained() as pipeline:
        await fill(pipeline, {"b": b})
        (result,) = served(
            await pipeline.explain("cells", [Image(data=a)], target=target, others=[ItemRef(item_id="b")])
        )
    assert_map(result.heatmap, sign * toward(a, vector_of(b)))
    assert_map(result.other_heatmap, sign * toward(b, vector_of(a)))
    assert result.similarity == pytest.approx(float(vector_of(a) @ vector_of(b)), abs=1e-6)
    assert (result.cluster, result.other_item_id) == (None, "")


async def test_others_are_one_for_each_query_or_one_for_all(explained: Opened, make_picture: MakePicture) -> None:
    images = [Image(data=make_picture(seed)) for seed in range(4)]
    async with explained() as pipeline:
        await fill(pipeline, {"a": make_picture(5)})

        async def similarities(queries: list[Any], others: list[Any]) -> list[float | None]:
            return [
                one.similarity
                for one in served(await pipeline.explain("cells", queries, target=SIMILAR, others=others))
            ]

        first, second = await similarities(images[:2], images[2:])
        assert await similarities(images[:2], [images[2]]) == [first, *(await similarities([images[1]], [images[2]]))]
        assert await similarities([images[1]], [images[3]]) == [second]
        for target, others, told in (
            (SIMILAR, [], "others: has 0 entries; allowed are 1 for all queries, and 3"),
            (DIVERGENT, images[:2], "others: has 2 entries; allowed are 1 for all queries, and 3"),
            (ExplainTarget.SELF, images[:1], "others: has 1 entries; allowed are none unless the target is a pair"),
            (ExplainTarget.CLUSTER, images[:1], "others: has 1 entries; allowed are none unless the target is a pair"),
        ):
            with pytest.raises(InvalidError, match=told):
                await pipeline.explain("cells", images[:3], target=target, others=others)


async def test_an_other_side_without_an_image_has_no_map(
    explained: Opened, make_picture: MakePicture, toward: Any
) -> None:
    async with explained() as pipeline:
        await fill(pipeline, {"a": make_picture(5)})
        vector = vector_query(pipeline, [0, 2, 0, 0])
        await pipeline.upsert("cells", [NewItem(item_id="v", label="", content=vector)])
        query = Image(data=make_picture(1))
        others = [vector, ItemRef(item_id="v"), ItemRef(item_id="x"), None]
        *found, missing, unset = await pipeline.explain("cells", [query] * 4, target=SIMILAR, others=others)
        for one in served(found):
            assert_map(one.heatmap, toward(make_picture(1), np.array([0, 1, 0, 0])))
            assert one.other_heatmap is None
        assert (type(missing), type(unset)) == (NotFoundError, InvalidError)
        (refused,) = await pipeline.explain("cells", [vector], target=SIMILAR, others=[query])
        assert "is a vector; allowed are image and item_id" in str(refused)


@pytest.mark.parametrize(("target", "sign"), [(SIMILAR, 1), (DIVERGENT, -1)])
async def test_an_image_and_its_copy_are_alike_where_the_image_comes_from(
    explained: Opened, make_picture: MakePicture, vector_of: Any, toward: Any, target: ExplainTarget, sign: int
) -> None:
    """Look-alikes are what people ask about: the slope of their whole cosine is 0, and would leave nothing to show."""
    picture = make_picture(1)
    async with explained() as pipeline:
        await fill(pipeline, {"a": picture})
        query, other = Image(data=picture), ItemRef(item_id="a")
        (result,) = served(await pipeline.explain("cells", [query], target=target, others=[other]))
    assert result.similarity == pytest.approx(1)
    for heatmap in (result.heatmap, result.other_heatmap):
        assert_map(heatmap, sign * toward(picture, vector_of(picture)))


async def test_an_image_is_opened_once_and_few_are_held_at_a_time(
    explained: Opened, make_picture: MakePicture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = {f"{seed}": make_picture(seed) for seed in range(12)}
    monkeypatch.setattr(explaining, "TOGETHER", 5)
    async with explained() as pipeline:
        await fill(pipeline, pictures)
        model = pipeline.catalog.model_of(pipeline.catalog.live("cells"))
        calls: list[list[bytes]] = []
        compute = model.explain

        async def counted(images: Any, *arguments: Any, **options: Any) -> Any:
            calls.append([image.data for image in images])
            return await compute(images, *arguments, **options)

        monkeypatch.setattr(model, "explain", counted)
        result = await both_ends(pipeline, ItemRef(item_id="0"), 11, ExplainHits())
        assert [len(images) for images in calls] == [5, 5, 2]
        assert {data for images in calls for data in images} == set(pictures.values())
        assert all(hit.explanation.other_heatmap is not None for hit in result.similar.hits)


# Clusters


@pytest.fixture
def groups(make_picture: MakePicture) -> dict[str, bytes]:
    """Three pictures, each with eleven that are nearly the same, by id."""
    random = np.random.default_rng(0)
    pictures = {}
    for group in range(3):
        base = pixels_of(make_picture(group)).astype(np.int64)
        for number in range(12):
            pixels = (base + random.integers(-12, 13, base.shape)).clip(0, 255).astype(np.uint8)
            out = io.BytesIO()
            Pillow.fromarray(pixels).save(out, "PNG")
            pictures[f"{group}-{number:02d}"] = out.getvalue()
    return pictures


async def test_what_ties_to_a_cluster_is_what_is_like_its_medoid(
    explained: Opened, quick_maps: None, groups: dict[str, bytes], make_picture: MakePicture
) -> None:
    async with explained() as pipeline:
        await fill(pipeline, groups)
        live = pipeline.catalog.live("cells")
        await live.map.recluster()
        clusters = {name: (await pipeline.item("cells", name)).cluster for name in groups}
        assert {0, 1, 2} <= set(clusters.values())
        members = [name for name, cluster in clusters.items() if cluster != -1]
        queries = [*(ItemRef(item_id=name) for name in members), Image(data=make_picture(0))]
        results = served(await pipeline.explain("cells", queries, target=ExplainTarget.CLUSTER))
        placement = await pipeline.clustering.assign("cells", queries[-1])
        for query, cluster, result in zip(
            queries, [*(clusters[name] for name in members), placement.cluster], results, strict=True
        ):
            assert cluster is not None
            assert (result.cluster, result.other_item_id) == (cluster, live.map.medoid(cluster))
            others = [ItemRef(item_id=result.other_item_id)]
            (pair,) = served(await pipeline.explain("cells", [query], target=SIMILAR, others=others))
            assert result.similarity == pair.similarity
            np.testing.assert_allclose(result.heatmap.values, pair.heatmap.values, atol=1e-4)
            assert result.other_heatmap is not None


async def test_noise_is_tied_to_nothing(
    explained: Opened, quick_maps: None, groups: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with explained() as pipeline:
        await fill(pipeline, groups)
        live = pipeline.catalog.live("cells")
        query = ItemRef(item_id="0-00")
        await live.map.recluster()
        monkeypatch.setattr(live.map, "cluster_of", lambda _: -1)
        (refused,) = await pipeline.explain("cells", [query], target=ExplainTarget.CLUSTER)
        assert isinstance(refused, PreconditionError)
        assert str(refused) == "target: is CLUSTER, of what lies in none (noise); allowed is what lies in one"


async def test_without_a_map_nothing_is_tied(explained: Opened, make_picture: MakePicture) -> None:
    async with explained() as pipeline:
        await fill(pipeline, {"a": make_picture(1)})
        (refused,) = await pipeline.explain("cells", [ItemRef(item_id="a")], target=ExplainTarget.CLUSTER)
        assert "a map needs at least 5" in str(refused)


# Hits


async def both_ends(pipeline: Pipeline, query: Any, k: int, wish: ExplainHits | None) -> Any:
    (answer,) = await pipeline.search("cells", [query], Direction.BOTH, k, explain=wish)
    assert isinstance(answer, Answer), answer
    return answer.result


async def test_hits_are_explained_by_what_they_were_found_for(
    explained: Opened, make_picture: MakePicture, vector_of: Any, toward: Any
) -> None:
    pictures = {f"{seed}": make_picture(seed) for seed in range(5)}
    query = make_picture(9)
    async with explained() as pipeline:
        await fill(pipeline, pictures)
        result = await both_ends(pipeline, Image(data=query), 3, ExplainHits(picture=HeatmapPicture.OVERLAY))
        plain = await both_ends(pipeline, Image(data=query), 3, None)
    assert [hit.item_id for hit in result.similar.hits] == [hit.item_id for hit in plain.similar.hits]
    for hits, sign in ((result.similar.hits, 1), (result.divergent.hits, -1)):
        assert len(hits) == 3
        for hit in hits:
            picture = pictures[hit.item_id]
            assert_map(hit.explanation.heatmap, sign * toward(picture, vector_of(query)))
            assert_map(hit.explanation.other_heatmap, sign * toward(query, vector_of(picture)))
            assert hit.explanation.similarity == pytest.approx(hit.similarity)
            assert hit.explanation.heatmap.picture.startswith(b"\x89PNG")
    assert result.heatmap is None
    assert plain.similar.hits[0].explanation is None


async def test_a_hit_without_a_kept_image_says_so_between_others(
    explained: Opened, make_picture: MakePicture, own: Any
) -> None:
    async with explained() as pipeline:
        await fill(pipeline, {"a": make_picture(1), "b": make_picture(2)})
        vector = vector_query(pipeline, [1, 0, 0, 0])
        await pipeline.upsert("cells", [NewItem(item_id="v", label="", content=vector)])
        for asked in (ItemRef(item_id="v"), vector):  # neither has an image, so that hits are explained alone
            result = await both_ends(pipeline, asked, 3, ExplainHits())
            for hit in (*result.similar.hits, *result.divergent.hits):
                if hit.item_id == "v":
                    assert isinstance(hit.explanation, PreconditionError)
                    assert "the image of 'v' is not kept" in str(hit.explanation)
                else:
                    assert_map(hit.explanation.heatmap, own(make_picture(1 if hit.item_id == "a" else 2)))
                    assert hit.explanation.other_heatmap is None


async def test_a_vector_explains_its_hits_as_pairs_without_a_map_of_its_own(
    explained: Opened, make_picture: MakePicture, toward: Any
) -> None:
    async with explained() as pipeline:
        await fill(pipeline, {"a": make_picture(1)})
        result = await both_ends(pipeline, vector_query(pipeline, [1, 0, 0, 0]), 1, ExplainHits(target=DIVERGENT))
        (hit,) = result.similar.hits
        assert_map(hit.explanation.heatmap, -toward(make_picture(1), np.array([1, 0, 0, 0])))
        assert hit.explanation.other_heatmap is None


async def test_queries_have_maps_of_their_own_where_self_was_asked_for(
    explained: Opened, make_picture: MakePicture, own: Any
) -> None:
    async with explained() as pipeline:
        await fill(pipeline, {"a": make_picture(1), "b": make_picture(2)})
        queries = [vector_query(pipeline, [1, 0, 0, 0]), ItemRef(item_id="x"), ItemRef(item_id="a")]
        first, missing, last = await pipeline.search(
            "cells", queries, Direction.DIVERGENT, 2, explain=ExplainHits(target=ExplainTarget.SELF)
        )
        assert isinstance(first, Answer)
        assert isinstance(missing, NotFoundError)
        assert isinstance(last, Answer)
        assert first.result.heatmap is None
        assert_map(last.result.heatmap, own(make_picture(1)))
        assert last.result.divergent is not None
        (hit,) = last.result.divergent.hits
        assert isinstance(hit.explanation, Explanation)
        assert_map(hit.explanation.heatmap, own(make_picture(2)))


async def test_hits_are_explained_by_their_clusters(
    explained: Opened, quick_maps: None, groups: dict[str, bytes]
) -> None:
    async with explained() as pipeline:
        await fill(pipeline, groups)
        live = pipeline.catalog.live("cells")
        await live.map.recluster()
        wish = ExplainHits(target=ExplainTarget.CLUSTER)
        result = await both_ends(pipeline, ItemRef(item_id="0-00"), 20, wish)
        for hit in (*result.similar.hits, *result.divergent.hits):
            if hit.cluster == -1:
                assert isinstance(hit.explanation, PreconditionError)
            else:
                assert (hit.explanation.cluster, hit.explanation.other_item_id) == (
                    hit.cluster,
                    live.map.medoid(hit.cluster),
                )


async def test_too_many_hits_to_explain_are_refused(explained: Opened, make_picture: MakePicture) -> None:
    async with explained() as pipeline:
        await fill(pipeline, {"a": make_picture(1)})
        query = ItemRef(item_id="a")
        for queries, direction, k in (([query], Direction.BOTH, 51), ([query] * 11, Direction.SIMILAR, 10)):
            count = len(queries) * k * (2 if direction is Direction.BOTH else 1)
            told = f"explain: asks for heat maps of up to {count} hits; allowed are 100 in all"
            with pytest.raises(InvalidError, match=told):
                await pipeline.search("cells", queries, direction, k, explain=ExplainHits())
        await both_ends(pipeline, query, 50, ExplainHits())


async def test_recommendations_are_explained(explained: Opened, make_picture: MakePicture, own: Any) -> None:
    async with explained() as pipeline:
        await fill(pipeline, {"a": make_picture(1), "b": make_picture(2)})

        def wish(k: int) -> Wish:
            return Wish(k=k, mode=Mode.SIMILAR, liked=(ItemRef(item_id="a"),))

        for target in (None, ExplainTarget.SELF):
            (hit,) = await pipeline.recommendations.recommend("cells", wish(100), explain=ExplainHits(target=target))
            assert isinstance(hit.explanation, Explanation)
            assert_map(hit.explanation.heatmap, own(make_picture(2)))
        with pytest.raises(InvalidError, match=r"explain\.target: is PAIR_SIMILAR; allowed are SELF and CLUSTER"):
            await pipeline.recommendations.recommend("cells", wish(1), explain=ExplainHits(target=SIMILAR))
        with pytest.raises(InvalidError, match="of up to 101 hits; allowed are 100 in all"):
            await pipeline.recommendations.recommend("cells", wish(101), explain=ExplainHits())
