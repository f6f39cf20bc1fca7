"""Recommending through the pipeline; the mathematics is judged in test_recommend."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import numpy as np
import pytest
from farnear_service import recommend
from farnear_service.errors import InvalidError, NotFoundError
from farnear_service.filters import Equals
from farnear_service.pipeline import Limits, Mode, Pipeline, Wish
from farnear_service.recommend import Taste
from farnear_service.store import Store
from farnear_service.types import ImageRetention, Interaction, ItemRef, NewItem, Opinion, Vector

Opened = Callable[..., AbstractAsyncContextManager[Pipeline]]

VECTORS = np.random.default_rng(5).normal(size=(40, 4)).astype(np.float32)


async def filled(pipeline: Pipeline) -> None:
    await pipeline.catalog.create_collection("cells", "tiny", ImageRetention.NONE)
    assert await pipeline.upsert("cells", new_items(pipeline)) == [None] * len(VECTORS)


def new_items(pipeline: Pipeline) -> list[NewItem]:
    digest = pipeline.catalog.bundles()["tiny"].digest
    return [
        NewItem(
            item_id=f"v{i:02d}",
            label=("crack", "rust")[i % 2],
            content=Vector(values=vector, bundle_digest=digest),
        )
        for i, vector in enumerate(VECTORS)
    ]


def taste(pipeline: Pipeline, liked: list[int], disliked: list[int], seen: list[int]) -> Taste:
    now = pipeline.catalog.live("cells").index.now()
    return Taste(
        liked=now.vectors[liked],
        disliked=now.vectors[disliked],
        seen=now.vectors[seen],
        keys=now.keys[[*liked, *disliked, *seen]],
    )


def interactions(opinions: dict[str, Opinion]) -> list[Interaction]:
    return [Interaction(item_id=item_id, opinion=opinion, time=1.0) for item_id, opinion in opinions.items()]


def ids(hits: Any) -> list[str]:
    return [hit.item_id for hit in hits]


HISTORY = {"v01": Opinion.LIKED, "v02": Opinion.DISLIKED, "v03": Opinion.SEEN}


async def test_history_and_examples_are_one_taste(opened: Opened) -> None:
    async with opened() as pipeline:
        await filled(pipeline)
        await pipeline.recommendations.record("cells", "ann", interactions(HISTORY))
        met = taste(pipeline, [1, 4], [2], [3, 5])
        now = pipeline.catalog.live("cells").index.now()
        given: dict[str, Any] = {"user": "ann", "liked": (ItemRef(item_id="v04"),), "seen": ("v05", "gone"), "k": 7}
        for wish, expected in (
            (Wish(mode=Mode.SIMILAR, **given), recommend.similar(now, met, 7)),
            (Wish(mode=Mode.DIVERGENT, **given), recommend.divergent(now, met, 7)),
            (Wish(mode=Mode.DIVERSE, **given), recommend.diverse(now, met, 7)),
            (Wish(mode=Mode.DIVERSE, pool=9, **given), recommend.diverse(now, met, 7, pool=9)),
            (Wish(novelty=0.3, **given), recommend.novel(now, met, 7, 0.3)),
        ):
            found = await pipeline.recommendations.recommend("cells", wish)
            assert ids(found) == ids(expected)
            assert len(found) == 7
            assert not {"v01", "v02", "v03", "v04", "v05"} & set(ids(found))


async def test_only_what_matches_is_recommended(opened: Opened) -> None:
    async with opened() as pipeline:
        await filled(pipeline)
        wish = Wish(mode=Mode.DIVERGENT, liked=(ItemRef(item_id="v00"),), k=1000, where=Equals("label", "rust"))
        assert sorted(ids(await pipeline.recommendations.recommend("cells", wish))) == [
            f"v{i:02d}" for i in range(1, 40, 2)
        ]
        unknown = Wish(mode=Mode.DIVERGENT, k=1, where=Equals("colour", "red"))
        with pytest.raises(InvalidError, match="colour"):
            await pipeline.recommendations.recommend("cells", unknown)


@pytest.mark.parametrize("how", [{"mode": Mode.DIVERGENT}, {"mode": Mode.DIVERSE}, {"mode": Mode.SIMILAR}])
@pytest.mark.parametrize("where", [None, Equals("label", "rust")])
async def test_what_was_met_is_not_recommended_though_it_is_replaced_meanwhile(
    opened: Opened, monkeypatch: pytest.MonkeyPatch, how: dict[str, Any], where: Any
) -> None:
    async with opened() as pipeline:
        await filled(pipeline)
        await pipeline.recommendations.record(
            "cells", "ann", interactions({f"v{i:02d}": Opinion.LIKED for i in range(9)})
        )
        loop, vectors = asyncio.get_running_loop(), Store.vectors

        def read_before_a_write(store: Store, *given: Any) -> Any:
            read = vectors(store, *given)
            asyncio.run_coroutine_threadsafe(pipeline.upsert("cells", new_items(pipeline)), loop).result()
            return read

        monkeypatch.setattr(Store, "vectors", read_before_a_write)
        examples = {"liked": (ItemRef(item_id="v30"),), "disliked": (ItemRef(item_id="v31"),), "seen": ("v32", "v33")}
        found = await pipeline.recommendations.recommend(
            "cells", Wish(user="ann", k=1000, where=where, **examples, **how)
        )
        left = [*range(9, 30), *range(34, 40)]
        assert sorted(ids(found)) == [f"v{i:02d}" for i in left if where is None or i % 2]


async def test_an_example_need_not_be_an_item(opened: Opened) -> None:
    async with opened() as pipeline:
        await filled(pipeline)
        digest = pipeline.catalog.bundles()["tiny"].digest
        own = Wish(mode=Mode.SIMILAR, liked=(Vector(values=5 * VECTORS[9], bundle_digest=digest),), k=1)
        assert ids(await pipeline.recommendations.recommend("cells", own)) == ["v09"]


async def test_a_history_is_kept_listed_and_forgotten(opened: Opened) -> None:
    async with opened() as pipeline:
        await filled(pipeline)
        for time, (item_id, opinion) in enumerate(HISTORY.items()):
            one = Interaction(item_id=item_id, opinion=opinion, time=float(time))
            await pipeline.recommendations.record("cells", "ann", [one])
    async with opened() as pipeline:
        kept = await pipeline.recommendations.interactions("cells", "ann", behind=None, limit=2)
        assert [(one.item_id, one.opinion) for one in kept] == [("v03", Opinion.SEEN), ("v02", Opinion.DISLIKED)]
        rest = await pipeline.recommendations.interactions(
            "cells", "ann", behind=(kept[-1].time, kept[-1].item_id), limit=2
        )
        assert ids(rest) == ["v01"]
        assert await pipeline.recommendations.interactions("cells", "bob", behind=None, limit=9) == []
        assert await pipeline.recommendations.forget("cells", "ann") == 3
        assert await pipeline.recommendations.forget("cells", "ann") == 0
        assert await pipeline.recommendations.interactions("cells", "ann", behind=None, limit=9) == []


async def test_nothing_is_kept_of_a_call_with_an_unknown_item(opened: Opened) -> None:
    async with opened() as pipeline:
        await filled(pipeline)
        with pytest.raises(NotFoundError, match="'nowhere'"):
            await pipeline.recommendations.record("cells", "ann", interactions(HISTORY | {"nowhere": Opinion.SEEN}))
        assert await pipeline.recommendations.interactions("cells", "ann", behind=None, limit=9) == []


@pytest.mark.parametrize(
    ("wish", "refusal"),
    [
        (Wish(k=0, mode=Mode.SIMILAR), "k: is 0; allowed are 1 to 1000"),
        (Wish(k=1), "mode, novelty: neither is set; allowed is one of them"),
        (Wish(k=1, mode=Mode.DIVERSE, novelty=0.5), "mode, novelty: both are set"),
        (Wish(k=1, mode=Mode.SIMILAR, pool=5), "pool: is 5; allowed is 0 unless the mode is DIVERSE"),
        (Wish(k=1, novelty=float("nan")), "novelty: is nan; allowed are 0 to 1"),
        (Wish(k=1, mode=Mode.SIMILAR), "liked: gives no direction"),
        (Wish(k=1, mode=Mode.SIMILAR, liked=(None,)), r"query\.subject: is not set"),
        (Wish(k=1, mode=Mode.SIMILAR, seen=("a",) * 6), "seen_item_ids: has 6 entries; allowed are at most 5"),
        (
            Wish(k=1, mode=Mode.SIMILAR, liked=(None,) * 2, disliked=(None,) * 2),
            "liked, disliked: has 4 entries; allowed are at most 3",
        ),
    ],
)
async def test_what_cannot_be_asked_is_told(opened: Opened, wish: Wish, refusal: str) -> None:
    async with opened(limits=Limits(max_examples=3, max_seen=5)) as pipeline:
        await filled(pipeline)
        with pytest.raises(InvalidError, match=refusal):
            await pipeline.recommendations.recommend("cells", wish)


@pytest.mark.parametrize("user", ["", "a\nb", "x" * 513])
async def test_bad_users_are_told(opened: Opened, user: str) -> None:
    async with opened() as pipeline:
        await filled(pipeline)
        for call in (
            pipeline.recommendations.record("cells", user, interactions(HISTORY)),
            pipeline.recommendations.interactions("cells", user, behind=None, limit=1),
            pipeline.recommendations.forget("cells", user),
        ):
            with pytest.raises(InvalidError, match="user: "):
                await call
