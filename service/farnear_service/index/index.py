"""The items of one collection in memory: many readers, and writers one after the other."""

import threading
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from farnear_service.columns import Columns
from farnear_service.index.approximate import Approximate
from farnear_service.index.generation import Generation
from farnear_service.index.memory import moved
from farnear_service.types import Attributes, Direction, FloatArray, IndexKind, IndexSettings

MIN_APPROXIMATE = 100_000
"""Items from which on an approximate index is built; fewer are searched exactly in the same time."""

REBUILD_SHARE = 0.2
"""Of the items: so many added or removed since it was built make an approximate index due anew."""

_DEAD_SHARE = 1 / 8  # of the rows; from then on they are cleared away


class Index:
    """The items of a collection with vectors of `dim` float32 values. Nothing is copied up to `room` items.

    Readers work on the generation that stands when they begin, and never see it change. A writer puts new rows behind
    it, in place. Removed rows stay and are no longer live; when an eighth of all rows is dead, what lives is copied.
    """

    def __init__(self, dim: int, settings: IndexSettings, *, room: int = 0) -> None:
        self._settings = settings
        self._writing = threading.Lock()
        self._keys = np.empty(0, np.int64)
        self._vectors = np.empty((0, dim), np.float32)
        self._live = np.empty(0, np.bool_)
        self._columns = Columns(room)
        self._approximate: Approximate | None = None
        self._move(0, room)
        self._now = Generation(
            keys=self._keys[:0], vectors=self._vectors[:0], columns=self._columns.now(), live=self._live[:0], count=0
        )

    def __len__(self) -> int:
        return len(self._now)

    def now(self) -> Generation:
        """The present generation."""
        return self._now

    def add(
        self,
        keys: NDArray[np.int64],
        item_ids: Sequence[str],
        labels: Sequence[str],
        created: Sequence[float],
        attributes: Sequence[Attributes],
        vectors: FloatArray,
    ) -> None:
        """Adds M items, see `change`."""
        self.change(
            removed=(),
            keys=keys,
            item_ids=item_ids,
            labels=labels,
            created=created,
            attributes=attributes,
            vectors=vectors,
        )

    def remove(self, keys: Sequence[int]) -> None:
        """Removes items by key, see `change`."""
        none = np.empty((0, self._vectors.shape[1]), np.float32)
        self.change(
            removed=keys, keys=np.empty(0, np.int64), item_ids=(), labels=(), created=(), attributes=(), vectors=none
        )

    def change(
        self,
        *,
        removed: Sequence[int],
        keys: NDArray[np.int64],
        item_ids: Sequence[str],
        labels: Sequence[str],
        created: Sequence[float],
        attributes: Sequence[Attributes],
        vectors: FloatArray,
    ) -> None:
        """Removes items and adds M others at once: readers see both or neither.

        `removed` are keys; those that are not there are no error. `keys` (M,) ascend, above every key that was ever
        added; `vectors` float32 (M, D) are unit. Costs what is added, for removals one byte a row, and now and then a
        copy of everything.
        """
        with self._writing:
            before = self._now
            gone = _rows_of(removed, before)
            if gone.size:
                self._live = moved(before.live, len(self._live))
                self._live[gone] = False
            count, start, numbering = before.count - gone.size, len(before.keys), before.numbering
            if start - count > _DEAD_SHARE * start:
                self._clear_away(start, count + len(keys))
                numbering += 1
                start = count
            stop = start + len(keys)
            if stop > len(self._keys):
                self._move(start, stop)
            self._keys[start:stop] = keys
            self._vectors[start:stop] = vectors
            self._live[start:stop] = True
            self._columns.append(item_ids, labels, created, attributes)
            self._now = Generation(
                keys=self._keys[:stop],
                vectors=self._vectors[:stop],
                columns=self._columns.now(),
                live=self._live[:stop],
                count=count + len(keys),
                numbering=numbering,
                approximate=self._approximate,
            )

    def build_is_due(self) -> bool:
        """Whether an approximate index should be built of the present generation, see `build`, and adopted."""
        now = self._now
        if self._settings.kind is not IndexKind.APPROXIMATE or len(now) < MIN_APPROXIMATE:
            return False
        built = self._approximate
        if built is None:
            return True
        added = len(now.keys) - built.row_count
        removed = built.item_count - np.count_nonzero(now.live[: built.row_count])
        return bool(added + removed >= REBUILD_SHARE * built.item_count)

    def adopt(self, approximate: Approximate) -> None:
        """Searches through `approximate` from now on.

        Where rows were renumbered since it was built, it is of no use and forgotten: a build is still due then.
        """
        with self._writing:
            if approximate.numbering == self._now.numbering:
                self._approximate = approximate
                self._now = replace(self._now, approximate=approximate)

    def _clear_away(self, start: int, stop: int) -> None:
        """Drops the dead among the first `start` rows, and makes room for `stop`."""
        stays = np.flatnonzero(self._live[:start])
        self._columns = self._columns.take(stays)
        self._move(start, stop, stays)
        if self._approximate is not None:
            new_rows = np.full(start, -1)
            new_rows[stays] = np.arange(len(stays))
            self._approximate = self._approximate.renumbered(new_rows)

    def _move(self, start: int, stop: int, stays: NDArray[np.int64] | None = None) -> None:
        """To arrays with room for half as many more than `stop` rows: the first `start` rows, or those that stay."""
        room = max(stop * 3 // 2, 1024)
        self._keys = moved(self._keys[:start], room, stays)
        self._vectors = moved(self._vectors[:start], room, stays)
        self._live = moved(self._live[:start], room, stays)


def _rows_of(keys: Sequence[int], generation: Generation) -> NDArray[np.int64]:
    """The live rows of those keys that have one."""
    if not keys:
        return np.empty(0, np.int64)
    asked = np.unique(np.asarray(keys, np.int64))
    rows = np.searchsorted(generation.keys, asked)
    rows, asked = rows[rows < len(generation.keys)], asked[rows < len(generation.keys)]
    rows = rows[generation.keys[rows] == asked]
    live: NDArray[np.int64] = rows[generation.live[rows]]
    return live


def warm_up() -> None:
    """Compiles what a search runs, some seconds, or loads what an earlier process compiled and kept on disk."""
    index = Index(2, IndexSettings())
    vectors = np.eye(2, dtype=np.float32)
    index.add(np.arange(2), ["", ""], ["", ""], [0.0, 0.0], [{}, {}], vectors)
    index.now().search(vectors, 1, Direction.BOTH)
