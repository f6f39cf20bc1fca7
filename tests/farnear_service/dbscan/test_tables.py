import numpy as np
from farnear_service.dbscan import PlaneDbscan, SphereDbscan
from farnear_service.dbscan.tables import new_tables, with_room

from tests.farnear_service.dbscan.judge import check


def test_room_is_made_by_half_more_than_is_needed() -> None:
    g = with_room(new_tables(1.0, 3), 10)
    assert [len(table) for table in (g.points, g.cells, g.clusters, g.lists)] == [15] * 4
    assert with_room(g, 15) is g
    g.store["points"] = 15
    assert len(with_room(g, 1).points) == 24


def test_growth_loses_nothing() -> None:
    """One by one, through several growths, with rows free in between."""
    random = np.random.default_rng(0)
    engine = PlaneDbscan(eps=1.0, min_samples=4)
    held: dict[int, tuple[float, ...]] = {}
    capacities = set()
    for key in range(300):
        held[key] = tuple(random.random(2) * 12)
        engine.insert([key], [held[key]])
        if key % 5 == 4:
            engine.delete([key - 2])
            del held[key - 2]
        if len(engine._tables.points) not in capacities:
            capacities.add(len(engine._tables.points))
            check(engine, held, 1.0, 4)
    assert len(capacities) > 6
    check(engine, held, 1.0, 4)


def test_rows_are_used_again() -> None:
    """Points that come and go for ever take no more memory than those of one moment."""
    random = np.random.default_rng(0)
    for engine in (PlaneDbscan(eps=0.3, min_samples=3), SphereDbscan(dim=2, eps=0.001, min_samples=3)):
        for turn in range(30):
            gone = range(100 * (turn - 1), 100 * turn) if turn else []
            engine.update([], np.empty((0, 2)), gone)
            engine.insert(range(100 * turn, 100 * turn + 100), random.normal(size=(100, 2)))
        store = engine._tables.store
        assert len(engine) == store["points"] == 100
        assert store["cells"] <= 100
        assert store["clusters"] <= 100
        assert len(engine._tables.points) == 300  # 150 at first; with 100 in use and 100 to come, half more than that
