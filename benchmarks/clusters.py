"""How many insertions and deletions a second does incremental DBSCAN take, and does it slow down as points come in?

Baselines, in the same run: incdbscan and incdbscan-rs, each if it is installed and up to a size that it can bear, which
do the same insertions and deletions in turn with ours, round by round; and scikit-learn, for which an update is a fit
of all points. The density is the same at every size: four fifths of the points are in blobs, one fifth lies anywhere. A
rate is that of the best round, and in brackets of the median one: neighbours on the machine only ever slow a round
down. At the end of each size the clusterings are compared: ours must be scikit-learn's, of the others' it is told.
"""

import argparse
import importlib
import importlib.util
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from conditions import print_conditions
from farnear_service.dbscan import NOISE, IncrementalDbscan, PlaneDbscan, Snapshot, SphereDbscan
from numpy.typing import NDArray
from sklearn.cluster import DBSCAN

PEERS = {"incdbscan": "incdbscan", "incdbscan-rs": "incdbscan_rs"}
MIN_SAMPLES = 10
PLANE_EPS, COSINE_EPS, DIM = 1.0, 0.05, 16
EUCLIDEAN_EPS = float(np.sqrt(2 * COSINE_EPS))  # the same on the unit sphere, for the peers
BATCH = 40  # what gathers in 0.2 s at 200 a second
BATCHES = 10

Points = NDArray[np.float64]
Numbers = NDArray[np.int64]
Draw = Callable[[int, int, np.random.Generator], Points]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plane", type=int, nargs="*", default=[1_000, 10_000, 100_000, 1_000_000], metavar="N")
    parser.add_argument("--sphere", type=int, nargs="*", default=[1_000, 10_000, 100_000], metavar="N")
    parser.add_argument("--peers-up-to", type=int, default=10_000, metavar="N")
    parser.add_argument("--sphere-refit-up-to", type=int, default=10_000, metavar="N")
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    peers = {name: module for name, module in PEERS.items() if importlib.util.find_spec(module)}
    print_conditions("numba", "numpy", "scikit-learn", *peers)
    for name in PEERS.keys() - peers.keys():
        print(f"{name} is not installed: left out")
    began = time.perf_counter()
    for engine in (plane(), sphere()):
        engine.insert([0, 1], np.eye(engine.snapshot().points.shape[1])[:2])
        engine.delete([0])
    print(f"compiling, or finding what was compiled before: {time.perf_counter() - began:.1f} s\n")

    print(f"in the plane: eps {PLANE_EPS:g}, min_samples {MIN_SAMPLES}")
    best = {}
    for count in arguments.plane:
        known = peers if count <= arguments.peers_up_to else {}
        best[count] = compare(count, in_the_plane, plane, known, arguments.rounds, refit=True)
    if 10_000 in best:
        print("\ntime of one insertion and deletion, and of the same in batches; those at 10,000 are 1")
        for count, times in best.items():
            print(f"  {count:>9,}   " + "   ".join(f"{ratio:.2f}" for ratio in times / best[10_000]))

    print(f"\non the sphere: {DIM} dimensions, cosine distance {COSINE_EPS:g}, min_samples {MIN_SAMPLES}")
    for count in arguments.sphere:
        known = peers if count <= arguments.peers_up_to else {}
        refit = count <= arguments.sphere_refit_up_to
        compare(count, on_the_sphere, sphere, known, arguments.rounds, refit=refit)


def plane() -> IncrementalDbscan:
    return PlaneDbscan(eps=PLANE_EPS, min_samples=MIN_SAMPLES)


def sphere() -> IncrementalDbscan:
    return SphereDbscan(dim=DIM, eps=COSINE_EPS, min_samples=MIN_SAMPLES)


def in_the_plane(count: int, room_for: int, random: np.random.Generator) -> Points:
    """`count` positions on an area that suits `room_for` of them."""
    side = np.sqrt(0.6 * room_for)
    places = side * np.random.default_rng(1).random((max(1, room_for // 250), 2))
    blobs = places[random.integers(0, len(places), count)] + 1.5 * random.normal(size=(count, 2))
    return np.array(np.where(random.random((count, 1)) < 0.8, blobs, side * random.random((count, 2))))


def on_the_sphere(count: int, room_for: int, random: np.random.Generator) -> Points:
    """`count` unit vectors, around a direction for every hundred of `room_for` of them."""
    directions = np.random.default_rng(1).normal(size=(max(1, room_for // 100), DIM))
    blobs = directions[random.integers(0, len(directions), count)] + 0.22 * random.normal(size=(count, DIM))
    vectors = np.where(random.random((count, 1)) < 0.8, blobs, random.normal(size=(count, DIM)))
    return np.array(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


class Ours:
    """Points are known by their rows."""

    def __init__(self, engine: IncrementalDbscan, points: Points, count: int) -> None:
        self.engine, self.points = engine, points
        engine.load(np.arange(count), points[:count])

    def insert(self, rows: Numbers) -> None:
        """Inserts points."""
        self.engine.insert(rows, self.points[rows])

    def delete(self, rows: Numbers) -> None:
        """Deletes points."""
        self.engine.delete(rows)


class Peer:
    """Points are known by what they are."""

    def __init__(self, module: str, eps: float, points: Points, count: int) -> None:
        self.clusterer: Any = importlib.import_module(module).IncrementalDBSCAN(eps=eps, min_pts=MIN_SAMPLES)
        self.points = points
        self.clusterer.insert(points[:count])

    def insert(self, rows: Numbers) -> None:
        """Inserts points."""
        self.clusterer.insert(self.points[rows])

    def delete(self, rows: Numbers) -> None:
        """Deletes points."""
        self.clusterer.delete(self.points[rows])


def compare(
    count: int,
    draw: Draw,
    make: Callable[[], IncrementalDbscan],
    peers: dict[str, str],
    rounds: int,
    *,
    refit: bool,
) -> NDArray[np.float64]:
    """Prints what each takes at one size; returns the seconds of ours: an insertion, a deletion, both in batches."""
    random = np.random.default_rng(0)
    each = 50 if peers else 500
    points = draw(count + rounds * (each + BATCH * BATCHES), count, random)
    began = time.perf_counter()
    ours = Ours(make(), points, count)
    loading = time.perf_counter() - began
    eps = EUCLIDEAN_EPS if ours.engine.cosine else PLANE_EPS
    others = {name: Peer(module, eps, points, count) for name, module in peers.items()}
    contestants: dict[str, Ours | Peer] = {"one by one": ours, **others}
    times: dict[str, list[list[float]]] = {name: [] for name in ("one by one", "in batches", *others)}
    unused = iter(range(count, len(points)))
    for _ in range(rounds):
        new = np.fromiter(unused, np.int64, each)
        old = random.choice(ours.engine.snapshot().keys, each, replace=False)
        for name, contestant in contestants.items():
            times[name].append([seconds(contestant.insert, new, 1), seconds(contestant.delete, old, 1)])
        passing = np.fromiter(unused, np.int64, BATCH * BATCHES)
        times["in batches"].append([seconds(ours.insert, passing, BATCH), seconds(ours.delete, passing, BATCH)])
    began = time.perf_counter()
    now = ours.engine.snapshot()
    taking = time.perf_counter() - began

    noise = np.mean(now.labels == NOISE)
    print(f"\n{count:,} points in {len(ours.engine.sizes):,} clusters, {noise:.0%} noise; updates a second")
    best = {name: np.min(values, axis=0) for name, values in times.items()}
    for name, values in times.items():
        middle = np.median(values, axis=0)
        rates = [f"{1 / best[name][i]:>8,.0f} ({1 / middle[i]:>8,.0f})" for i in (0, 1)]
        print(f"  {name:<14}{rates[0]} insertions   {rates[1]} deletions", end="")
        if name in others:
            beyond = best[name] / best["one by one"]
            labels = np.asarray(others[name].clusterer.get_cluster_labels(now.points))
            answer = "same clusters" if same(now, labels) else "OTHER CLUSTERS"
            print(f"   ours {beyond[0]:.1f} x and {beyond[1]:.1f} x, {answer}", end="")
        print()
    print(f"  snapshot      {1e3 * taking:>8.1f} ms")
    if refit:
        began = time.perf_counter()
        make().load(now.keys, now.points)
        loading = time.perf_counter() - began
        metric = "cosine" if now.cosine else "euclidean"
        began = time.perf_counter()
        found = DBSCAN(eps=now.eps, min_samples=MIN_SAMPLES, metric=metric).fit(now.points)
        fitting = time.perf_counter() - began
        assert same(now, found.labels_)
        assert np.array_equal(np.flatnonzero(now.core), found.core_sample_indices_)
        print(f"  scikit-learn  {1 / fitting:>8,.1f} fits; ours {fitting / best['one by one'][0]:,.0f} x", end="")
        print(f"; all at once in {loading:.2f} s, which is {fitting / loading:.1f} x as fast; same clusters")
    else:
        print(f"  all at once   {loading:>8.2f} s; scikit-learn is left out at this size")
    return np.concatenate([best["one by one"], best["in batches"]])


def same(now: Snapshot, labels: NDArray[Any]) -> bool:
    """Whether the same points are noise, and the core points are parted alike."""
    pairs = set(zip(now.labels[now.core].tolist(), labels[now.core].tolist(), strict=True))
    alike = len(pairs) == len({mine for mine, _ in pairs}) == len({other for _, other in pairs})
    return alike and np.array_equal(now.labels == NOISE, labels == NOISE)


def seconds(update: Callable[[Numbers], None], rows: Numbers, size: int) -> float:
    """A row, of updates of so many rows."""
    parts = np.split(rows, range(size, len(rows), size))
    began = time.perf_counter()
    for part in parts:
        update(part)
    return (time.perf_counter() - began) / len(rows)


if __name__ == "__main__":
    main()
