"""The service gives what a comparison with every item gives, after random writes, with filters, pages and restarts.

The judge keeps the items in a dict and knows neither index, nor store, nor columns: float64 inner products of the
stored vectors, one item after the other, and filters by plain Python.
"""

import asyncio
import tempfile
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from farnear_service.filters import All, AnyOf, Equals, Exists, Filter, Negation, OneOf, Range
from farnear_service.maps import MapSettings
from farnear_service.metrics import Metrics
from farnear_service.pipeline import Answer, Catalog, CatalogSettings, Pipeline
from farnear_service.types import Attributes, Direction, ImageRetention, Item, ItemRef, NewItem, Vector, unit_vector
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

DAY = datetime(2026, 1, 1, tzinfo=UTC)

vectors = st.one_of(
    st.tuples(*[st.sampled_from([-1.0, 0.0, 1.0])] * 4).filter(any),  # many ties
    st.tuples(*[st.floats(-1, 1, width=32)] * 4).filter(lambda values: np.linalg.norm(values) > 1e-3),
)
attributes = st.fixed_dictionaries(
    {},
    optional={
        "severity": st.sampled_from([0.0, 1.5, 2.0, 3.0]),
        "site": st.sampled_from(["", "north", "süd", "\U0001f600"]),
        "checked": st.booleans(),
        "taken": st.integers(0, 3).map(lambda days: DAY + timedelta(days=days)),
    },
)
ids = st.sampled_from([f"{letter}{number}" for letter in "aé\U0001f600" for number in range(6)])
labels = st.sampled_from(["", "crack", "rust"])
items = st.lists(st.tuples(ids, labels, vectors, attributes), min_size=1, max_size=12)

values = {
    "severity": st.sampled_from([0.0, 1.0, 2.0, 4.0]),
    "site": st.sampled_from(["", "north", "p", "\U0001f600"]),
    "taken": st.integers(-1, 4).map(lambda days: DAY + timedelta(days=days)),
    "label": labels,
    "item_id": ids,
}
fields = st.sampled_from(sorted(values))
conditions = st.one_of(
    st.sampled_from([Exists("severity"), Exists("checked"), Equals("checked", True), Equals("checked", False)]),
    fields.flatmap(lambda field: st.builds(Equals, st.just(field), values[field])),
    fields.flatmap(
        lambda field: st.builds(OneOf, st.just(field), st.lists(values[field], min_size=1, max_size=4).map(tuple))
    ),
    fields.flatmap(
        lambda field: st.builds(
            lambda low, high, lower, upper: Range(field=field, **{lower: low, upper: high}),
            values[field],
            values[field],
            st.sampled_from(["above", "at_least"]),
            st.sampled_from(["below", "at_most"]),
        )
    ),
)
wheres = st.none() | st.recursive(
    conditions,
    lambda inner: st.one_of(
        st.builds(All, st.lists(inner, min_size=1, max_size=3).map(tuple)),
        st.builds(AnyOf, st.lists(inner, min_size=1, max_size=3).map(tuple)),
        st.builds(Negation, inner),
    ),
    max_leaves=4,
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("upsert"), items),
        st.tuples(st.just("together"), st.lists(items, min_size=2, max_size=4)),
        st.tuples(st.just("delete"), st.lists(ids, min_size=1, max_size=5)),
        st.tuples(st.just("restart"), st.none()),
        st.tuples(st.just("search"), st.tuples(vectors | ids, wheres, st.integers(1, 20))),
    ),
    min_size=3,
    max_size=14,
)

Known = dict[str, tuple[str, np.ndarray[Any, np.dtype[np.float32]], Attributes]]


def matches(where: Filter | None, item_id: str, label: str, known: Attributes) -> bool:
    match where:
        case None:
            return True
        case All(parts):
            return all(matches(part, item_id, label, known) for part in parts)
        case AnyOf(parts):
            return any(matches(part, item_id, label, known) for part in parts)
        case Negation(part):
            return not matches(part, item_id, label, known)
    value: Any = {"item_id": item_id, "label": label, **known}.get(where.field)
    if value is None:
        return False
    key = value.encode() if isinstance(value, str) else value
    match where:
        case Exists():
            return True
        case Equals(_, wanted):
            return bool(value == wanted)
        case OneOf(_, wanted_values):
            return value in wanted_values
        case Range():
            for name, bound in where.bounds().items():
                limit: Any = bound.encode() if isinstance(bound, str) else bound
                inside = {"above": key > limit, "at_least": key >= limit, "below": key < limit, "at_most": key <= limit}
                if not inside[name]:
                    return False
            return True


def ranked(known: Known, query: Any, where: Filter | None, sign: int) -> list[tuple[str, float]]:
    vector = known[query][1] if isinstance(query, str) else unit_vector("query", np.array(query, np.float32), 4)
    similarities = {
        item_id: min(1.0, max(-1.0, float((own.astype(np.float64) * vector.astype(np.float64)).sum())))
        for item_id, (label, own, attributes) in known.items()
        if item_id != query and matches(where, item_id, label, attributes)
    }
    return sorted(similarities.items(), key=lambda entry: (-sign * entry[1], entry[0].encode()))


class Service:
    """The service under test, and what it must know."""

    def __init__(self, folder: Path, bundle: Path) -> None:
        self._folder = folder
        self._bundle = bundle
        self.known: Known = {}

    @asynccontextmanager
    async def opened(self) -> Any:
        settings = CatalogSettings(map=MapSettings(perplexity=8, min_samples=1000))  # no maps here
        catalog = await Catalog.open(self._folder, {"tiny": self._bundle}, settings, Metrics())
        try:
            if not catalog.collections():
                await catalog.create_collection("cells", "tiny", ImageRetention.NONE)
            yield Pipeline(catalog, Metrics())
        finally:
            await catalog.close()

    async def upsert(self, pipeline: Pipeline, batch: list[Any]) -> None:
        digest = pipeline.catalog.bundles()["tiny"].digest
        new = [
            NewItem(
                item_id=item_id,
                label=label,
                content=Vector(values=np.array(vector, np.float32), bundle_digest=digest),
                attributes=attributes,
            )
            for item_id, label, vector, attributes in batch
        ]
        assert await pipeline.upsert("cells", new) == [None] * len(batch)

    def learn(self, batch: list[Any]) -> None:
        for item_id, label, vector, attributes in batch:
            self.known[item_id] = (label, unit_vector("", np.array(vector, np.float32), 4), attributes)

    def learn_of_all(self, pipeline: Pipeline, batches: list[list[Any]]) -> None:
        """Of calls under way at one time none is the later; of what they say of an item one stands, whole."""
        store, record = pipeline.catalog.store, pipeline.catalog.live("cells").record
        said: dict[str, list[Any]] = {}
        for batch in batches:
            self.learn(batch)
            for item_id in {row[0] for row in batch}:
                said.setdefault(item_id, []).append(self.known[item_id])
        for item_id, candidates in said.items():
            item, (_, vector) = store.item(record, item_id), store.vector(record, item_id)
            self.known[item_id] = next(
                one
                for one in candidates
                if (one[0], dict(one[2])) == (item.label, dict(item.attributes)) and np.array_equal(one[1], vector)
            )

    async def search(self, pipeline: Pipeline, query: Any, where: Filter | None, k: int) -> None:
        if isinstance(query, str) and query not in self.known:
            return
        digest = pipeline.catalog.bundles()["tiny"].digest
        subject = (
            ItemRef(item_id=query)
            if isinstance(query, str)
            else Vector(values=np.array(query, np.float32), bundle_digest=digest)
        )
        near, far = ranked(self.known, query, where, 1), ranked(self.known, query, where, -1)
        found: tuple[list[Any], list[Any]] = ([], [])
        behind = None
        for _ in range(len(near) // k + 1):
            (answer,) = await pipeline.search("cells", [subject], Direction.BOTH, k, where=where, behind=behind)
            assert isinstance(answer, Answer)
            assert answer.result.similar is not None
            assert answer.result.divergent is not None
            for pages, hits in zip(found, (answer.result.similar, answer.result.divergent), strict=True):
                assert hits.certificate is None
                assert len(hits.hits) == min(k, len(near) - len(pages))
                pages.extend((hit.item_id, hit.similarity) for hit in hits.hits)
            behind = answer.behind
            if behind is None:
                break
        assert behind is None
        assert found == (near, far)

    async def everything(self, pipeline: Pipeline, where: Filter | None) -> None:
        expected = sorted(
            (item_id for item_id, (label, _, own) in self.known.items() if matches(where, item_id, label, own)),
            key=str.encode,
        )
        assert await pipeline.count("cells", where) == len(expected)
        listed: list[Item] = []
        while page := await pipeline.items("cells", after=listed[-1].item_id if listed else None, limit=5, where=where):
            listed += page
        assert [item.item_id for item in listed] == expected
        for item in listed:
            label, _, attributes = self.known[item.item_id]
            assert (item.label, dict(item.attributes)) == (label, attributes)


async def run(service: Service, plan: list[Any]) -> None:
    plan = [*plan, ("restart", None)]
    while plan:
        async with service.opened() as pipeline:
            declared = [("declared", "", (1.0, 0.0, 0.0, 0.0), {"severity": 9.0, "site": "x", "checked": True})]
            declared[0][3]["taken"] = DAY
            await service.upsert(pipeline, declared)
            service.learn(declared)
            await service.everything(pipeline, None)
            while plan:
                step, argument = plan.pop(0)
                match step:
                    case "upsert":
                        await service.upsert(pipeline, argument)
                        service.learn(argument)
                    case "together":
                        await asyncio.gather(*(service.upsert(pipeline, batch) for batch in argument))
                        service.learn_of_all(pipeline, argument)
                    case "delete":
                        there = {item_id for item_id in argument if item_id in service.known}
                        assert await pipeline.delete_items("cells", argument) == len(there)
                        for item_id in there:
                            del service.known[item_id]
                    case "search":
                        await service.search(pipeline, *argument)
                        await service.everything(pipeline, argument[1])
                    case "restart":
                        break


@pytest.mark.timeout(600)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=steps)
def test_random_writes_searches_and_restarts(tiny_bundle: Path, plan: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Service(Path(folder), tiny_bundle), plan))
