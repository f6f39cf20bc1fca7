"""Many random steps, judged after every one; FARNEAR_SOAK_STEPS says how many, `make soak` takes 100,000."""

import os
from collections.abc import Callable

import numpy as np
import pytest
from farnear_service.dbscan import IncrementalDbscan, PlaneDbscan, SphereDbscan

from tests.farnear_service.dbscan.judge import check, cores_of, events_between, names_after

Draw = Callable[[np.random.Generator, int], np.ndarray]
Start = Callable[[np.random.Generator], tuple[IncrementalDbscan, float, int]]

STEPS = int(os.environ.get("FARNEAR_SOAK_STEPS", "150"))
PHASE = 200  # steps after which other settings and other points are tried


def lattice(random: np.random.Generator, count: int) -> np.ndarray:
    return np.array(0.25 * random.integers(0, random.integers(2, 26), (count, 2)))


def anywhere(random: np.random.Generator, count: int) -> np.ndarray:
    two_places = 4 * random.integers(0, 2, (count, 1))
    return np.array(random.normal(size=(count, 2)) * random.choice([0.3, 1.0, 3.0]) + two_places)


def crowd(random: np.random.Generator, count: int) -> np.ndarray:
    return np.round(random.normal(size=(count, 2)) * 0.6, 1)


def plane_settings(random: np.random.Generator) -> tuple[IncrementalDbscan, float, int]:
    eps, min_samples = float(random.choice([0.25, 0.5, 0.75, 1.0, 1.25])), int(random.integers(1, 9))
    return PlaneDbscan(eps=eps, min_samples=min_samples), eps, min_samples


def directions(random: np.random.Generator, count: int) -> np.ndarray:
    axes = np.eye(4)[random.integers(0, 4, count)]
    return np.array(axes + random.normal(size=(count, 4)) * random.choice([0.05, 0.3, 1.0]))


def sphere_settings(random: np.random.Generator) -> tuple[IncrementalDbscan, float, int]:
    eps, min_samples = float(random.uniform(0.005, 0.3)), int(random.integers(1, 9))
    return SphereDbscan(dim=4, eps=eps, min_samples=min_samples), eps, min_samples


@pytest.mark.timeout(7200)
@pytest.mark.parametrize(
    ("start", "draw"),
    [(plane_settings, lattice), (plane_settings, anywhere), (plane_settings, crowd), (sphere_settings, directions)],
    ids=["lattice", "anywhere", "crowd", "sphere"],
)
def test_soak(start: Start, draw: Draw) -> None:
    random = np.random.default_rng(STEPS)
    for step in range(STEPS):
        if step % PHASE == 0:
            engine, eps, min_samples = start(random)
            held: dict[int, list[float]] = {}
            before = engine.snapshot()
        growing = (step // 40) % 2 == 0
        count = int(random.integers(0, 6 if growing else 3))
        points = draw(random, count)
        keys = [int(key) for key in random.integers(-(2**62), 2**62, count)]
        leaving = min(len(held), int(random.integers(0, 3 if growing else 6)))
        gone = random.choice(sorted(held), leaving, replace=False).tolist() if leaving else []
        events = engine.update(keys, points, gone)
        held |= zip(keys, points.tolist(), strict=True)
        for key in gone:
            del held[key]
        now = check(engine, held, eps, min_samples)
        clusters = cores_of(now)
        assert names_after(cores_of(before), clusters.values(), before.next_id) == {
            cores: identity for identity, cores in clusters.items()
        }
        assert events == events_between(before, now)
        before = now
