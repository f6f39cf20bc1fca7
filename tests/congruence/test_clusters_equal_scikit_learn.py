"""The clusters of a collection are those of scikit-learn's DBSCAN on its map, after every step and every restart."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import faiss
import numpy as np
import pytest
from farnear_service.maps.tsne import ExactNeighbours
from farnear_service.pipeline import MapState, Pipeline
from farnear_service.types import ImageRetention, NewItem, Vector
from sklearn.cluster import DBSCAN


async def settled(pipeline: Pipeline) -> MapState:
    """The map once everything that was written and deleted is part of its clusters."""
    live = pipeline.catalog.live("cells")
    async with asyncio.timeout(20):
        while True:
            now = live.index.now()
            state = live.map.state()
            if np.array_equal(state.view.snapshot.keys, now.keys[now.live]):
                return state
            await asyncio.sleep(0.002)


def assert_dbscan(state: MapState) -> None:
    now, settings = state.view.snapshot, state.view.settings
    judge = DBSCAN(eps=settings.eps, min_samples=settings.min_samples).fit(now.points)
    assert np.flatnonzero(now.core).tolist() == judge.core_sample_indices_.tolist()
    np.testing.assert_array_equal(now.labels == -1, judge.labels_ == -1)
    pairs = set(zip(now.labels[now.core].tolist(), judge.labels_[now.core].tolist(), strict=True))
    assert len(pairs) == len({ours for ours, _ in pairs}) == len({theirs for _, theirs in pairs})
    for row in np.flatnonzero((now.labels != -1) & ~now.core):
        near = now.core & (np.linalg.norm(now.points - now.points[row], axis=1) <= settings.eps)
        assert now.labels[row] in now.labels[near]
    labels, counts = np.unique(now.labels[now.labels != -1], return_counts=True)
    assert dict(state.view.sizes) == dict(zip(labels.tolist(), counts.tolist(), strict=True))


async def test_after_every_step_and_every_restart(
    opened: Callable[..., AbstractAsyncContextManager[Pipeline]], quick_maps: None
) -> None:
    chance = np.random.default_rng(0)
    ids = [f"i{number:03d}" for number in range(150)]
    present: set[str] = set()
    version = 1

    async def upsert(pipeline: Pipeline, chosen: list[str]) -> None:
        digest = pipeline.catalog.bundles()["tiny"].digest
        vectors = 4 * np.eye(4)[chance.integers(0, 4, len(chosen))] + chance.normal(size=(len(chosen), 4))
        items = [
            NewItem(item_id=one, label="", content=Vector(values=vector.astype(np.float32), bundle_digest=digest))
            for one, vector in zip(chosen, vectors, strict=True)
        ]
        assert await pipeline.upsert("cells", items) == [None] * len(items)
        present.update(chosen)

    async with opened() as pipeline:
        await pipeline.catalog.create_collection("cells", "tiny", ImageRetention.NONE)
        await upsert(pipeline, ids[:60])
        await pipeline.clustering.recluster("cells", eps=None, min_samples=None, perplexity=None)
    for _ in range(4):
        async with opened() as pipeline:
            for _ in range(6):
                if chance.random() < 0.6:
                    await upsert(pipeline, chance.choice(ids, chance.integers(1, 15), replace=False).tolist())
                else:
                    gone = chance.choice(sorted(present), chance.integers(1, 12), replace=False).tolist()
                    assert await pipeline.delete_items("cells", gone) == len(gone)
                    present.difference_update(gone)
                assert_dbscan(await settled(pipeline))
            state = await pipeline.clustering.recluster(
                "cells", eps=float(chance.uniform(1, 6)), min_samples=int(chance.integers(2, 9)), perplexity=None
            )
            assert_dbscan(state)
            assert_dbscan(await pipeline.clustering.recluster("cells", eps=None, min_samples=None, perplexity=5.0))
            before = await settled(pipeline)
        async with opened() as pipeline:
            after = await settled(pipeline)
            assert_dbscan(after)
            if after.view.version == before.view.version:  # else a fit was due, and has been made
                np.testing.assert_array_equal(after.view.snapshot.labels, before.view.snapshot.labels)
                np.testing.assert_array_equal(after.view.snapshot.points, before.view.snapshot.points)
                assert after.view.snapshot.next_id == before.view.snapshot.next_id
                assert after.view.settings == before.view.settings
        assert after.view.version >= before.view.version > version, "the case must have a new fit"
        version = after.view.version


@pytest.mark.parametrize("threshold", [1, 10**9], ids=["matrix product", "one by one"])
@pytest.mark.parametrize("copies", [1, 60], ids=["apart", "equal in groups"])
def test_neighbours_equal_plain_distances_however_faiss_scores(threshold: int, copies: int) -> None:
    made = np.random.default_rng(0).normal(size=(1200 // copies, 16)).repeat(copies, axis=0)
    data = (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)
    queries = data[::37]
    before = faiss.cvar.distance_compute_blas_threshold
    faiss.cvar.distance_compute_blas_threshold = threshold
    try:
        rows, distances = ExactNeighbours(data, k=90, metric="euclidean").query(queries, 25)
    finally:
        faiss.cvar.distance_compute_blas_threshold = before
    for query, found, apart in zip(queries, rows, distances, strict=True):
        plain = ((data.astype(np.float64) - query.astype(np.float64)) ** 2).sum(axis=1)
        expected = sorted(range(len(data)), key=lambda row: (plain[row], row))[:25]
        assert found.tolist() == expected
        np.testing.assert_allclose(apart, np.sqrt(plain[expected]), atol=1e-12)
