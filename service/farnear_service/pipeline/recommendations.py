"""Recommendations, and the histories of users that they are made from."""

import asyncio
from collections.abc import Sequence

from farnear_service.errors import InvalidError
from farnear_service.filters import check
from farnear_service.metrics import Metrics
from farnear_service.pipeline.again import again_after_a_move
from farnear_service.pipeline.catalog import Catalog
from farnear_service.pipeline.explaining import PAIRS, AskedResult, ExplainHits, Explaining
from farnear_service.pipeline.limits import Limits, check_count
from farnear_service.pipeline.recommending import Example, Wish, history, recommended, taste_of
from farnear_service.pipeline.subjects import Subjects
from farnear_service.types import Hit, Hits, Interaction, SearchResult, check_text


class Recommendations:
    """What somebody may want to see of the collections of a catalog, and what is kept of what they saw."""

    def __init__(
        self, catalog: Catalog, subjects: Subjects, explaining: Explaining, limits: Limits, metrics: Metrics
    ) -> None:
        self.catalog = catalog
        self._subjects = subjects
        self._explaining = explaining
        self._limits = limits
        self._metrics = metrics

    @again_after_a_move
    async def recommend(self, name: str, wish: Wish, *, explain: ExplainHits | None = None) -> tuple[Hit, ...]:
        """Items for somebody, by history and examples; what was met is not among them. With heat maps for `explain`."""
        live = self.catalog.live(name)
        self._limits.check_k(wish.k)
        if explain is not None:
            self._limits.check_explained(wish.k)
            if explain.target in PAIRS:
                raise InvalidError(
                    f"explain.target: is {explain.target.name}; allowed are SELF and CLUSTER, as there is no one query"
                )
        wish.check()
        for field_name, count, limit in (
            ("liked, disliked", len(wish.liked) + len(wish.disliked), self._limits.max_examples),
            ("seen_item_ids", len(wish.seen), self._limits.max_seen),
        ):
            if count > limit:
                raise InvalidError(f"{field_name}: has {count} entries; allowed are at most {limit}")
        if wish.where is not None:
            check(wish.where, live.record.schema)
        liked, disliked = [
            [
                Example(vector=subject.vector, key=subject.key)
                for subject in await asyncio.gather(
                    *(self._subjects.subject(live, query, patient=True) for query in queries)
                )
            ]
            for queries in (wish.liked, wish.disliked)
        ]
        met = await history(self.catalog.store, live.record, wish.user)
        ids = wish.item_ids() | {one.item_id for one in met}

        def answer() -> tuple[Hit, ...]:
            taste = taste_of(self.catalog.store, live.record, liked, disliked, wish.seen, met)
            now = live.index.now()
            allowed = None if wish.where is None else live.matching(now, wish.where)
            with self._metrics.stage("recommend"):
                hits = recommended(now, taste, wish, allowed)
                if not ids.isdisjoint(hit.item_id for hit in hits):
                    # What was met was replaced between the two readings, and has another key now.
                    unmet = ~now.columns.ids.among(list(ids))
                    hits = recommended(now, taste, wish, unmet if allowed is None else allowed & unmet)
            return tuple(live.on_map(hit) for hit in hits)

        hits = await asyncio.to_thread(answer)
        if explain is None:
            return hits
        asked = AskedResult(result=SearchResult(similar=Hits(hits=hits)))
        (explained,) = await self._explaining.explain_hits(live, [asked], explain)
        assert explained.similar is not None
        return explained.similar.hits

    @again_after_a_move
    async def record(self, name: str, user: str, interactions: Sequence[Interaction]) -> None:
        """Takes down what a user did. On disk when this returns."""
        live = self.catalog.live(name)
        check_text("user", user, required=True)
        check_count("interactions", len(interactions), self._limits.max_interactions)
        await asyncio.to_thread(self.catalog.store.record_interactions, live.record, user, interactions)

    @again_after_a_move
    async def interactions(
        self, name: str, user: str, *, behind: tuple[float, str] | None, limit: int
    ) -> list[Interaction]:
        """Up to `limit` interactions of a user, newest first, from behind time and item of an earlier one on."""
        live = self.catalog.live(name)
        check_text("user", user, required=True)
        return await asyncio.to_thread(self.catalog.store.interactions, live.record, user, behind=behind, limit=limit)

    @again_after_a_move
    async def forget(self, name: str, user: str) -> int:
        """Forgets a user and returns how many interactions were kept."""
        live = self.catalog.live(name)
        check_text("user", user, required=True)
        return await asyncio.to_thread(self.catalog.store.delete_interactions, live.record, user)
