"""A pipeline that was closed and opened again answers as before: searches, clusters and positions on the map."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import numpy as np
from farnear_service.pipeline import Pipeline
from farnear_service.types import Direction, Image, ImageRetention, ItemRef, NewItem, Vector


def vectors_of(count: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (4 * np.eye(4)[np.arange(count) % 3] + random.normal(size=(count, 4))).astype(np.float32)


async def put(pipeline: Pipeline, ids: list[str], seed: int) -> None:
    digest = pipeline.catalog.bundles()["tiny"].digest
    items = [
        NewItem(item_id=item_id, label=f"{seed}", content=Vector(values=vector, bundle_digest=digest))
        for item_id, vector in zip(ids, vectors_of(len(ids), seed), strict=True)
    ]
    assert await pipeline.upsert("cells", items) == [None] * len(ids)


async def all_placed(pipeline: Pipeline) -> None:
    async with asyncio.timeout(20):
        while pipeline.catalog.live("cells").map.state().pending:  # noqa: ASYNC110 - what runs in the background has no event for it
            await asyncio.sleep(0.002)


async def answers(pipeline: Pipeline, picture: bytes) -> Any:
    digest = pipeline.catalog.bundles()["tiny"].digest
    queries = [
        Image(data=picture),
        ItemRef(item_id="a03"),
        *(Vector(values=vector, bundle_digest=digest) for vector in vectors_of(5, 99)),
    ]
    _, points = await pipeline.clustering.map_points("cells")
    state, summaries = await pipeline.clustering.summaries("cells")
    return {
        "records": pipeline.catalog.collections(),
        "items": await pipeline.items("cells", after=None, limit=1000),
        "hits": await pipeline.search("cells", queries, Direction.BOTH, 20),
        "map": (points.item_ids, points.positions.tolist(), points.clusters.tolist(), points.labels),
        "fit": (state.view.version, state.perplexity, state.pending),
        "clusters": summaries,
        "places": [await pipeline.clustering.assign("cells", query) for query in queries],
        "image": pipeline.catalog.store.image(pipeline.catalog.live("cells").record, "picture"),
    }


async def test_after_upserts_deletes_replacements_a_refit_and_more_items(
    opened: Callable[..., AbstractAsyncContextManager[Pipeline]],
    quick_maps: None,
    make_picture: Callable[[int], bytes],
) -> None:
    picture = make_picture(1)
    async with opened() as pipeline:
        await pipeline.catalog.create_collection("cells", "tiny", ImageRetention.ORIGINAL)
        await put(pipeline, [f"a{i:02d}" for i in range(50)], 1)
        await pipeline.upsert("cells", [NewItem(item_id="picture", label="", content=Image(data=picture))])
        await put(pipeline, ["a07", "a08", "a07"], 2)
        assert await pipeline.delete_items("cells", ["a10", "a11", "a12"]) == 3
        await pipeline.catalog.live("cells").map.recluster()
        await put(pipeline, ["b1", "b2", "a01"], 3)
        assert await pipeline.delete_items("cells", ["b2", "a20"]) == 2
        await all_placed(pipeline)
        await put(pipeline, ["b3", "b4"], 4)
        await all_placed(pipeline)
        live = await answers(pipeline, picture)
        assert live["fit"][0] >= 1
        assert len(live["items"]) == 50
    async with opened(bundles={}) as pipeline:
        restored = await answers(pipeline, picture)
    assert restored == live
