"""Does a cluster keep its number through refits of the map, and do the items in it?

The images of NEU steel and ELPV, embedded by a bundle each, are clustered as a service does it: t-SNE, DBSCAN (the
paper's eps 3 and min_samples 10), and after every refit the numbers go over to the new clusters by the core points that
they share. Two settings, ten refits in each:

* growing: it begins with so many images that a tenth more before every refit makes all of them in the end; new images
  are placed on the standing map first, and the map that is fitted then starts from where they were;
* seed: the same images all the time, and another seed of the fit each time.

`kept` is the share of the items on both maps that have the same number on both, the noise counting as a number of its
own; `could be` the largest share that any other way to hand the numbers on could have reached, which is less than 1
where items changed their company. Baselines in the same run, numbers handed on in the same way: fits `from scratch`,
which know nothing of the map before and start from the principal components (of which a seed changes little), and fits
`from a random start`. NMI is with the classes, noise counting as one more cluster; seven tenths of the images are what
the bundle learned from, which flatters, so `held out` tells of the others on the same map.

    farnear train $FARNEAR_DATA/neu_steel.tar --out neu --image-size 64 --iterations 800
    farnear demo    # leaves a bundle of ELPV in demo-work/bundle
    python benchmarks/stability.py neu=neu elpv=demo-work/bundle
"""

import argparse
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnxruntime
from conditions import print_conditions
from farnear_service.dbscan import NOISE, ClusterEvent, PlaneDbscan, Snapshot
from farnear_service.maps import FittedMap, MapSettings, fit_map
from farnear_training import data
from losses import laid_out
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import normalized_mutual_info_score
from tqdm import tqdm

SETS = ("neu", "elpv")
AS_SERVED = "from the map before"
BASELINES = ("from scratch", "from a random start")
GROWTH = 0.1
GOAL = 0.95
STRUCTURAL = ("born", "merged", "split", "dissolved")
BATCH = 64

Vectors = NDArray[np.float32]
Keys = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Collection:
    """Unit vectors (N, D) of N images in random order, their classes (N,), and which (N,) training did not see."""

    vectors: Vectors
    classes: Keys
    held_out: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A map, the clusters on it, and what has happened to them since the map before."""

    fitted: FittedMap
    engine: PlaneDbscan
    now: Snapshot
    events: tuple[ClusterEvent, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundles", nargs="+", metavar="SET=BUNDLE", help=f"sets: {', '.join(SETS)}")
    parser.add_argument("--refits", type=int, default=10)
    parser.add_argument("--eps", type=float, default=MapSettings.eps, help="DBSCAN radius (default: the paper's)")
    parser.add_argument("--seed", type=int, default=0, help="draws the order in which images come")
    arguments = parser.parse_args()
    print_conditions("opentsne", "onnxruntime", "scikit-learn", "numpy")
    for argument in arguments.bundles:
        name, _, bundle = argument.partition("=")
        if name not in SETS:
            parser.error(f"{argument!r} is not SET=BUNDLE with a set of {', '.join(SETS)}")
        settings = MapSettings(eps=arguments.eps)
        run(name, read(name, Path(bundle), arguments.seed), settings, arguments.refits)


def run(name: str, collection: Collection, settings: MapSettings, refits: int) -> None:
    """Prints what becomes of the numbers of one set in every setting."""
    count = len(collection.vectors)
    classes = np.unique(collection.classes).size
    print(f"{name}: {count:,} images, {classes} classes, {refits} refits, eps {settings.eps:g}\n")
    shares = []
    for setting in ("growing", "seed"):
        sizes = growing_sizes(count, refits) if setting == "growing" else [count] * (refits + 1)
        fits = [replace(settings, seed=number if setting == "seed" else 0) for number in range(refits + 1)]
        for way in (AS_SERVED, *BASELINES):
            print(f"{setting}, {way}")
            print(f"{'refit':>5}{'items':>7}{'clusters':>10}{'noise':>7}{'NMI':>7}{'held out':>10}", end="")
            print(f"{'kept':>7}{'could be':>10}  " + " ".join(f"{what:>9}" for what in STRUCTURAL))
            shares.append((setting, way, *told(collection, stages(collection, sizes, fits, way))))
    print(f"{'share of items that keep their number':<40}{'mean':>7}{'least':>7}{'first to last':>15}")
    for setting, way, kept, overall in shares:
        mark = "" if way != AS_SERVED else f"   goal {GOAL}: {'met' if np.mean(kept) >= GOAL else 'not met'}"
        print(f"{f'{setting}, {way}':<40}{np.mean(kept):>7.3f}{min(kept):>7.3f}{overall:>15.3f}{mark}")
    print(flush=True)


def told(collection: Collection, standings: Iterator[Standing]) -> tuple[list[float], float]:
    """Prints a line for each map; returns what share kept its number at each refit, and from the first to the last."""
    snapshots: list[Snapshot] = []
    kept: list[float] = []
    for number, standing in enumerate(standings):
        now = standing.now
        line = f"{number:>5}{len(now.keys):>7,}{np.unique(now.labels[now.labels != NOISE]).size:>10}"
        held_out = collection.held_out[now.keys]
        line += f"{np.count_nonzero(now.labels == NOISE):>7}{nmi(collection, now):>7.3f}"
        line += f"{nmi(collection, now, held_out):>10.3f}"
        if snapshots:
            same, could_be = stability(snapshots[-1], now)
            kept.append(same)
            changes = Counter(event.change.value for event in standing.events)
            line += f"{same:>7.3f}{could_be:>10.3f}  " + " ".join(f"{changes[what]:>9}" for what in STRUCTURAL)
        print(line, flush=True)
        snapshots.append(now)
    overall, could_be = stability(snapshots[0], snapshots[-1])
    print(f"first to last: kept {overall:.3f}, could be {could_be:.3f}\n", flush=True)
    return kept, overall


def stages(collection: Collection, sizes: list[int], fits: list[MapSettings], way: str) -> Iterator[Standing]:
    """The clusters after the first fit and after every refit, of the first `sizes` images, by the settings `fits`."""
    standing: Standing | None = None
    for size, settings in zip(tqdm(sizes, unit=" fits", leave=False, disable=None), fits, strict=True):
        keys = np.arange(size)
        previous = None
        version = 1
        if standing is not None:
            came = np.arange(len(standing.now.keys), size)
            standing.engine.insert(came, standing.fitted.place(collection.vectors[came]))
            previous = standing.engine.snapshot()
            version = standing.fitted.version + 1
        before = None
        if way == "from a random start":
            before = keys, np.random.default_rng(settings.seed + version).normal(size=(size, 2))
        elif way == AS_SERVED and previous is not None:
            before = previous.keys, previous.points
        fit = fit_map(keys, collection.vectors[keys], settings, version, before)
        engine = PlaneDbscan(eps=settings.eps, min_samples=settings.min_samples)
        events = engine.load(keys, fit.positions, previous)
        standing = Standing(fitted=fit.fitted, engine=engine, now=engine.snapshot(), events=events)
        yield standing


def growing_sizes(count: int, refits: int) -> list[int]:
    """How many images are there at the first fit and at every refit; the last is all."""
    return [round(count / (1 + GROWTH) ** (refits - number)) for number in range(refits + 1)]


def stability(before: Snapshot, after: Snapshot) -> tuple[float, float]:
    """Of the items in both, the share whose number is the same, and the largest that a one-to-one renaming reaches."""
    _, here, there = np.intersect1d(before.keys, after.keys, assume_unique=True, return_indices=True)
    old, new = before.labels[here], after.labels[there]
    _, rows = np.unique(old, return_inverse=True)
    _, columns = np.unique(new, return_inverse=True)
    shared = np.zeros((rows.max() + 1, columns.max() + 1), np.int64)
    np.add.at(shared, (rows, columns), 1)
    best = shared[linear_sum_assignment(shared, maximize=True)].sum()
    return float(np.mean(old == new)), float(best / len(here))


def nmi(collection: Collection, now: Snapshot, which: NDArray[np.bool_] | None = None) -> float:
    """Normalised mutual information of cluster and class, over all items or `which` (N,) of them."""
    chosen = slice(None) if which is None else which
    return float(normalized_mutual_info_score(collection.classes[now.keys][chosen], now.labels[chosen]))


def read(name: str, bundle: Path, seed: int) -> Collection:
    """Embeds the images of a set."""
    described = json.loads((bundle / "bundle.json").read_text(encoding="utf-8"))
    width, height = described["image"]["width"], described["image"]["height"]
    with tempfile.TemporaryDirectory() as folder:
        images = data.load(laid_out(name, Path(folder)), width, height, threads=os.cpu_count() or 1)
    held_out = set(json.loads((bundle / "split.json").read_text(encoding="utf-8"))["test"])
    order = np.random.default_rng(seed).permutation(len(images))
    session = onnxruntime.InferenceSession(bundle / "model.onnx", providers=["CPUExecutionProvider"])
    starts = tqdm(range(0, len(order), BATCH), desc=f"embedding {name}", leave=False, disable=None)
    parts = [session.run(["embedding"], {"images": images.images[order[start : start + BATCH]]})[0] for start in starts]
    scores = ", ".join(f"{key} {described['evaluation'][key]:.3f}" for key in ("precision_at_1", "map_at_r"))
    print(f"{name} is embedded by a bundle of {described['training']['iterations']:,} steps at {width} px ({scores})")
    return Collection(
        vectors=np.concatenate(parts),
        classes=images.labels[order],
        held_out=np.array([images.item_ids[place] in held_out for place in order]),
    )


if __name__ == "__main__":
    main()
