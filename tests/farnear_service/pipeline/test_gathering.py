"""Gathered searches answer as each would alone."""

import asyncio
import threading
from typing import Any

import numpy as np
import pytest
from farnear_service.index import Generation, Index
from farnear_service.metrics import Metrics
from farnear_service.pipeline import gathering
from farnear_service.pipeline.gathering import GatheredSearches, LoneQuery
from farnear_service.types import Direction, FloatArray, IndexSettings, SearchResult

COUNT, DIM = 300, 4


@pytest.fixture
def vectors() -> FloatArray:
    rows = np.random.default_rng(0).normal(size=(COUNT, DIM))
    scaled: FloatArray = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return scaled


@pytest.fixture
def index(vectors: FloatArray) -> Index:
    filled = Index(DIM, IndexSettings())
    ids = [f"item-{number}" for number in range(COUNT)]
    filled.add(np.arange(COUNT), ids, [""] * COUNT, [0.0] * COUNT, [{}] * COUNT, vectors)
    return filled


class HeldSearch:
    """Takes the place of `Generation.search`: notes how many queries came together, and holds them until told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.passes: list[int] = []
        self.begun = threading.Event()
        self.may_go_on = threading.Event()
        search = Generation.search

        def held(now: Generation, queries: FloatArray, *args: Any, **kwargs: Any) -> list[SearchResult]:
            self.passes.append(len(queries))
            self.begun.set()
            self.may_go_on.wait(30)
            return search(now, queries, *args, **kwargs)

        monkeypatch.setattr(Generation, "search", held)


def questions(vectors: FloatArray) -> list[LoneQuery]:
    """Three kinds of them, in turn."""
    kinds = ((5, Direction.BOTH), (5, Direction.SIMILAR), (9, Direction.BOTH))
    return [
        LoneQuery(vector=vector, k=kinds[number % 3][0], direction=kinds[number % 3][1])
        for number, vector in enumerate(vectors[:60])
    ]


@pytest.mark.parametrize("max_values", [0, gathering.MAX_VALUES])
async def test_each_has_the_answer_that_it_would_have_alone(
    max_values: int, index: Index, vectors: FloatArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gathering, "MAX_VALUES", max_values)
    asked = questions(vectors)
    searches = GatheredSearches(index, Metrics())
    together = await asyncio.gather(*(searches.search(query) for query in asked))
    alone = [index.now().search(query.vector[None], query.k, query.direction)[0] for query in asked]
    assert together == alone


async def test_what_waits_for_the_same_shares_a_pass(
    index: Index, vectors: FloatArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = HeldSearch(monkeypatch)
    searches = GatheredSearches(index, Metrics())
    first, *others = questions(vectors)[:10]
    tasks = [asyncio.create_task(searches.search(first))]
    await asyncio.to_thread(held.begun.wait, 30)
    tasks += [asyncio.create_task(searches.search(query)) for query in others]
    await asyncio.sleep(0)
    held.may_go_on.set()
    await asyncio.gather(*tasks)
    assert held.passes == [1, 3, 3, 3]


async def test_an_item_is_found_by_what_is_asked_after_it_was_added(
    index: Index, vectors: FloatArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though an older pass is under way."""
    held = HeldSearch(monkeypatch)
    searches = GatheredSearches(index, Metrics())
    query = LoneQuery(vector=vectors[0], k=COUNT, direction=Direction.SIMILAR)
    before = asyncio.create_task(searches.search(query))
    await asyncio.to_thread(held.begun.wait, 30)
    index.add(np.array([COUNT]), ["new"], [""], [0.0], [{}], vectors[:1])
    after = asyncio.create_task(searches.search(query))
    await asyncio.sleep(0)
    held.may_go_on.set()
    found = [result.similar for result in await asyncio.gather(before, after)]
    assert [None if hits is None else "new" in {hit.item_id for hit in hits.hits} for hits in found] == [False, True]
