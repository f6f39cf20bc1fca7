"""A cluster falls apart where it must, and the search for that looks no farther than it must."""

import math

import numpy as np
import pytest
from farnear_service.dbscan import Change, PlaneDbscan, SphereDbscan

from tests.farnear_service.dbscan.judge import check
from tests.farnear_service.dbscan.paper import Figure


def chain(count: int) -> np.ndarray:
    return np.stack([np.arange(count), np.zeros(count)], axis=1)


def visited_by_deleting(engine: PlaneDbscan, key: int) -> int:
    """How many cells the searches of one deletion came to, beyond those they began from."""
    engine._tables.lists["visited"] = -7
    engine.delete([key])
    return int((engine._tables.lists["visited"] != -7).sum())


@pytest.mark.parametrize("arms", [2, 3, 4, 5])
def test_a_star_falls_into_its_arms(arms: int) -> None:
    """A split can be into more than two parts."""
    turns = [complex(math.cos(angle), math.sin(angle)) for angle in np.arange(arms) * math.tau / arms]
    figure = Figure([0, *(0.99 * step * turn for step in range(1, 5) for turn in turns)], eps=1.0, min_samples=2)
    assert len(figure.clusters()) == 1
    events = figure.delete(0)
    assert len(figure.clusters()) == arms
    assert {len(members) for members in figure.clusters().values()} == {4}
    assert [event.change for event in events] == [Change.SHRUNK] + [Change.SPLIT] * (arms - 1)
    assert all(event.parents == (0,) for event in events[1:])


def test_a_ring_holds_until_its_second_break() -> None:
    """The searches from the first break go round the ring and meet."""
    ring = [5 * complex(math.cos(angle), math.sin(angle)) for angle in np.arange(36) * math.tau / 36]
    figure = Figure(ring, eps=1.0, min_samples=2)
    assert len(figure.clusters()) == 1
    figure.delete(ring[0])
    assert len(figure.clusters()) == 1
    figure.delete(ring[12])
    assert sorted(len(members) for members in figure.clusters().values()) == [11, 23]


@pytest.mark.parametrize("key", [2, 50, 9900])
def test_the_search_goes_as_far_as_the_smaller_part(key: int) -> None:
    engine = PlaneDbscan(eps=1.0, min_samples=2)
    engine.insert(range(10_000), chain(10_000))
    smaller = min(key, 9999 - key)
    assert smaller - 1 <= visited_by_deleting(engine, key) <= 2 * smaller
    assert sorted(engine.sizes.values()) == sorted([key, 9999 - key])


def test_the_search_in_a_broad_cluster_ends_around_the_hole() -> None:
    engine = PlaneDbscan(eps=1.0, min_samples=3)
    side = 60
    points = 0.9 * np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2)
    engine.insert(range(len(points)), points)
    assert visited_by_deleting(engine, side * side // 2 + side // 2) <= 40
    assert list(engine.sizes.values()) == [side * side - 1]


def test_parts_of_a_circle_on_the_sphere() -> None:
    angles = np.arange(60) * math.tau / 60
    circle = np.stack([np.cos(angles), np.sin(angles), np.zeros(60)], axis=1)
    eps = 1 - math.cos(1.5 * math.tau / 60)
    engine = SphereDbscan(dim=3, eps=eps, min_samples=3)
    engine.insert(range(60), circle)
    held = dict(enumerate(circle.tolist()))
    parts = []
    for key in (0, 20, 40, 30):
        engine.delete([key])
        del held[key]
        check(engine, held, eps, 3)
        parts.append(sorted(engine.sizes.values()))
    assert parts == [[59], [19, 39], [19, 19, 19], [9, 9, 19, 19]]
