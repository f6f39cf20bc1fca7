"""Random batches against an engine, judged after every one."""

from typing import Any

import numpy as np
from farnear_service.dbscan import IncrementalDbscan, Snapshot
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from tests.farnear_service.dbscan.judge import check, cores_of, events_between, names_after


class Batches(RuleBasedStateMachine):
    """A subclass makes the engine and says, in an initialize rule, what its points are drawn from."""

    engine: IncrementalDbscan
    eps: float
    min_samples: int
    places: st.SearchStrategy[tuple[float, ...]]

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[int, tuple[float, ...]] = {}
        self.unused = iter(np.random.default_rng(0).permutation(100_000).tolist())  # keys in no order
        self.next_id = 0
        self.before: Snapshot | None = None

    @rule(data=st.data(), count=st.integers(1, 12))
    def insert(self, data: Any, count: int) -> None:
        self._update(data.draw(st.lists(self.places, min_size=count, max_size=count)), [])

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def insert_what_is_there(self, data: Any) -> None:
        self._update([self.held[data.draw(st.sampled_from(sorted(self.held)))]], [])

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def delete_one(self, data: Any) -> None:
        self._update([], [data.draw(st.sampled_from(sorted(self.held)))])

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def exchange(self, data: Any) -> None:
        gone = data.draw(st.lists(st.sampled_from(sorted(self.held)), unique=True, max_size=10))
        self._update(data.draw(st.lists(self.places, max_size=3)), gone)

    @precondition(lambda self: self.held)
    @rule()
    def delete_all(self) -> None:
        self._update([], list(self.held))

    def _update(self, places: list[tuple[float, ...]], gone: list[int]) -> None:
        before = self.before or self.engine.snapshot()
        keys = [next(self.unused) for _ in places]
        events = self.engine.update(keys, np.array(places).reshape(len(keys), before.points.shape[1]), gone)
        self.held |= zip(keys, places, strict=True)
        for key in gone:
            del self.held[key]
        now = check(self.engine, self.held, self.eps, self.min_samples)
        clusters = cores_of(now)
        names = names_after(cores_of(before), clusters.values(), self.next_id)
        assert names == {cores: identity for identity, cores in clusters.items()}
        assert events == events_between(before, now)
        self.next_id = max([self.next_id, *(identity + 1 for identity in clusters)])
        assert now.next_id == self.next_id
        self.before = now
