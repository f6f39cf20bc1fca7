"""From what somebody liked, disliked and has seen to recommendations."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from farnear_service import recommend
from farnear_service.errors import InvalidError
from farnear_service.filters import Filter
from farnear_service.index import Generation
from farnear_service.recommend import Taste
from farnear_service.store import Store
from farnear_service.types import Collection, FloatArray, Hit, Interaction, ItemRef, Opinion, Query

HISTORY = 100_000  # of a user, the newest so many count: comparing all with a million items takes minutes already


class Mode(Enum):
    """How to recommend."""

    SIMILAR = "similar"
    DIVERGENT = "divergent"
    DIVERSE = "diverse"


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is asked for: recommendations for a `user` and/or for examples, by `mode` or by `novelty` in [0, 1].

    `pool` is for DIVERSE: so many of the most relevant items to choose among, 0 for all.
    """

    k: int
    mode: Mode | None = None
    novelty: float | None = None
    user: str = ""
    liked: Sequence[Query | None] = ()
    disliked: Sequence[Query | None] = ()
    seen: Sequence[str] = ()
    pool: int = 0
    where: Filter | None = None

    def check(self) -> None:
        """Raises InvalidError for what cannot be asked together."""
        if (self.mode is None) == (self.novelty is None):
            came = "neither is set" if self.mode is None else "both are set"
            raise InvalidError(f"mode, novelty: {came}; allowed is one of them")
        if self.pool and self.mode is not Mode.DIVERSE:
            raise InvalidError(f"pool: is {self.pool}; allowed is 0 unless the mode is DIVERSE")

    def item_ids(self) -> set[str]:
        """The items that are given as liked, disliked or seen."""
        examples = (query.item_id for query in (*self.liked, *self.disliked) if isinstance(query, ItemRef))
        return {*self.seen, *examples}


@dataclass(frozen=True, kw_only=True)
class Example:
    """A liked or disliked vector, float32 (D,) of unit length; `key` where it is an item of the collection."""

    vector: FloatArray
    key: int | None


async def history(store: Store, record: Collection, user: str) -> list[Interaction]:
    """What is kept of a user, the newest; nothing for no user."""
    if not user:
        return []
    return await asyncio.to_thread(store.interactions, record, user, limit=HISTORY)


def taste_of(
    store: Store,
    record: Collection,
    liked: Sequence[Example],
    disliked: Sequence[Example],
    seen: Sequence[str],
    met: Sequence[Interaction],
) -> Taste:
    """What somebody met, by examples and by history. Items that are there no more do not count."""
    vectors = store.vectors(record, [*seen, *(one.item_id for one in met)])
    own: dict[Opinion, dict[int, FloatArray]] = {opinion: {} for opinion in Opinion}
    for one in met:
        if one.item_id in vectors:
            key, vector = vectors[one.item_id]
            own[one.opinion][key] = vector
    for item_id in seen:
        if item_id in vectors:
            key, vector = vectors[item_id]
            own[Opinion.SEEN][key] = vector
    foreign: dict[Opinion, list[FloatArray]] = {opinion: [] for opinion in Opinion}
    for opinion, examples in ((Opinion.LIKED, liked), (Opinion.DISLIKED, disliked)):
        for example in examples:
            if example.key is None:
                foreign[opinion].append(example.vector)
            else:
                own[opinion][example.key] = example.vector
    matrices = {opinion: _stacked([*own[opinion].values(), *foreign[opinion]], record.dim) for opinion in Opinion}
    return Taste(
        liked=matrices[Opinion.LIKED],
        disliked=matrices[Opinion.DISLIKED],
        seen=matrices[Opinion.SEEN],
        keys=np.array([key for items in own.values() for key in items], np.int64),
    )


def recommended(now: Generation, taste: Taste, wish: Wish, allowed: NDArray[np.bool_] | None) -> tuple[Hit, ...]:
    """What is asked for, of one generation."""
    if wish.novelty is not None:
        return recommend.novel(now, taste, wish.k, wish.novelty, allowed=allowed)
    match wish.mode:
        case Mode.SIMILAR:
            return recommend.similar(now, taste, wish.k, allowed=allowed)
        case Mode.DIVERGENT:
            return recommend.divergent(now, taste, wish.k, allowed=allowed)
        case _:
            return recommend.diverse(now, taste, wish.k, allowed=allowed, pool=wish.pool)


def _stacked(vectors: Sequence[FloatArray], dim: int) -> FloatArray:
    return np.array(vectors, np.float32).reshape(len(vectors), dim)
