"""How many clusters does the paper's pipeline find in its classes, and which of its settings does that hang on?

The pipeline of Yasuno, Okano and Fujii (MN-pair contrastive damage representation) with its settings: MN-pair loss with
tau 0.3, v 0.15 and M = N = number of classes, D 16, batches of 128, Adam 1e-4, random erasing; then t-SNE and DBSCAN
(eps 3, min_samples 10) on images held out. The paper tells of 10 clusters in 5 classes, and of 13 and 17 in 4.

For each set the folder `--output` gets the map by class and by cluster and a sheet of tiles: of each cluster a member
drawn at random, the ten images most similar to it, and below them their heat maps in the same order.

The ablations change one setting at a time, with fewer steps. Input sizes keep the paper's proportions: at `--image-size
64` its 160 is 64, and all are rounded to the multiples of 8 that the network takes, 180 at full size to 176. The
baseline in the same run is raw pixels. Figures are of the images held out, intervals bootstrap 95 %; the row `and
learned from` is of all images, as of a collection that holds what its model learned from, and flatters.

As it comes this is a taste of a minute or two. What two cores can do in an hour or two, and the paper's own budget, for
a machine with a GPU:

    paper.py --sets neu sewer --image-size 64 --iterations 600 --ablation-iterations 150 --output folder
    paper.py --sets neu sewer --full --output folder

The checkpoints in `--output` make a stopped benchmark go on where it was, and a finished one print its tables again.
The images lie in the folder that FARNEAR_DATA names.
"""

import argparse
import os
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from conditions import print_conditions
from farnear_training import data
from farnear_training.data import Dataset
from farnear_training.evaluate import embed
from farnear_training.evaluate.figures import map_by_class, map_by_cluster
from farnear_training.losses import MnPairLoss
from farnear_training.metrics import MEASURES, Interval, askable, mean_intervals, query_scores
from farnear_training.metrics.clustering import (
    NOISE,
    cluster_count,
    density_clusters,
    lay_out,
    normalized_mutual_information,
)
from farnear_training.metrics.similarity import nearest
from farnear_training.models import Network
from farnear_training.train.loop import train
from farnear_training.train.settings import TrainSettings
from losses import SEWER_SEQUENCE, halves, laid_out, told
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image, ImageDraw

SETS = ("neu", "sewer")
FACTORS: dict[str, tuple[float, ...]] = {
    "tau": (0.1, 0.2, 0.3, 0.5),
    "v": (0.1, 0.15, 0.2, 0.3),
    "D": (8, 16, 32),
    "input": (128, 144, 160, 180, 200),
}
FULL = {"image_size": 160, "iterations": 5000, "ablation_iterations": 2000}
TEST_FRACTION = 0.3
PERPLEXITY, EPS, MIN_SAMPLES = 30, 3, 10
DRAWS = 1000
NEIGHBOURS = 10
HEADER = f"{'':<20}{'MAP@R':<24}{'precision@1':<24}{'clusters':<14}{'NMI with classes':<24}share of noise"
TILE, GAP, MARGIN = 64, 4, 112
PITCH = 2 * TILE + 4 * GAP


@dataclass(frozen=True, kw_only=True)
class Map:
    """Positions of shape (N, 2) in map units, clusters of shape (N,), and what the two are like."""

    positions: NDArray[np.float64]
    clusters: NDArray[np.int64]
    count: Interval
    noise: Interval
    nmi: Interval


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=["neu"])
    parser.add_argument("--image-size", type=int, default=48)
    parser.add_argument("--iterations", type=int, default=200)
    parser.add_argument("--ablation-iterations", type=int, default=0, help="0 leaves the ablations out")
    parser.add_argument("--full", action="store_true", help="the paper's budget instead of those three")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--output", type=Path, help="folder (default: a new one among the temporary files)")
    arguments = parser.parse_args()
    output = arguments.output or Path(tempfile.mkdtemp(prefix="farnear-paper-"))
    budget = FULL if arguments.full else {name: getattr(arguments, name) for name in FULL}
    print_conditions("torch", "kornia", "opentsne", "scikit-learn", "numpy")
    print("budget    " + ", ".join(f"{name} {value}" for name, value in budget.items()))
    print(f"the paper {', '.join(f'{name} {value}' for name, value in FULL.items())}\n")

    for pack in arguments.sets:
        learned, test = parts(pack, budget["image_size"], arguments.threads)
        count = len(test.class_names)
        print(
            f"{pack}: {len(learned)} images learned from, {len(test)} held out, {count} classes;", end=" ", flush=True
        )
        paper = TrainSettings(
            loss=MnPairLoss(m=count, n=count),
            image_size=budget["image_size"],
            iterations=budget["iterations"],
            seed=arguments.seed,
            threads=arguments.threads,
        )
        whole_run(pack, paper, output)
        if budget["ablation_iterations"]:
            ablation(pack, replace(paper, iterations=budget["ablation_iterations"]), output)
    print(f"drawings  {output}")


def whole_run(pack: str, settings: TrainSettings, output: Path) -> None:
    """Trains with the paper's settings, prints what came of it and draws maps and tiles."""
    learned, test = parts(pack, settings.image_size, settings.threads)
    model = train(learned, settings, checkpoints=output / f"{pack}-paper.checkpoint", resume=True).model
    vectors = embed(model, test.images)
    found = mapped(vectors, test.labels)
    all_vectors = np.concatenate([vectors, embed(model, learned.images)])
    all_labels = np.concatenate([test.labels, learned.labels])
    print(f"{settings.iterations} steps at {settings.image_size} px\n\n{HEADER}")
    print(row("raw pixels", retrieval(test.images.reshape(len(test), -1), test.labels)))
    print(row("the paper", retrieval(vectors, test.labels), found))
    print(row("and learned from", retrieval(all_vectors, all_labels), mapped(all_vectors, all_labels)))

    width = max(map(len, test.class_names)) + 2
    print(f"\n{'cluster':<9}" + "".join(f"{name:>{width}}" for name in test.class_names))
    for cluster in np.unique(found.clusters):
        counts = np.bincount(test.labels[found.clusters == cluster], minlength=len(test.class_names))
        name = "noise" if cluster == NOISE else str(cluster)
        print(f"{name:<9}" + "".join(f"{count:>{width}}" for count in counts))
    print(flush=True)

    (output / f"{pack}-map-by-class.png").write_bytes(map_by_class(found.positions, test.labels, test.class_names))
    (output / f"{pack}-map-by-cluster.png").write_bytes(map_by_cluster(found.positions, found.clusters))
    sheet(model, test, vectors, found.clusters, settings.seed).save(output / f"{pack}-tiles.jpg", quality=80)


def ablation(pack: str, paper: TrainSettings, output: Path) -> None:
    """Prints what comes of the paper's settings with one of them changed, for each value of each factor."""
    print(f"one setting changed, {paper.iterations} steps\n\n{HEADER}")
    for factor, values in FACTORS.items():
        for value in values:
            settings = varied(paper, factor, value)
            name = "short" if settings == paper else f"{factor}-{value}"
            learned, test = parts(pack, settings.image_size, settings.threads)
            model = train(learned, settings, checkpoints=output / f"{pack}-{name}.checkpoint", resume=True).model
            vectors = embed(model, test.images)
            title = f"{factor} {value}" + (f", {settings.image_size} px" if factor == "input" else "")
            mark = " *" if settings == paper else ""
            print(row(title + mark, retrieval(vectors, test.labels), mapped(vectors, test.labels)), flush=True)
    print("* the paper's\n")


def varied(paper: TrainSettings, factor: str, value: float) -> TrainSettings:
    """The settings with one changed; an input size keeps its proportion to the paper's."""
    assert isinstance(paper.loss, MnPairLoss)
    if factor == "tau":
        return replace(paper, loss=replace(paper.loss, temperature=value))
    if factor == "v":
        return replace(paper, loss=replace(paper.loss, positive_weight=value))
    if factor == "D":
        return replace(paper, embedding_dim=int(value))
    return replace(paper, image_size=8 * round(value / FULL["image_size"] * paper.image_size / 8))


def parts(pack: str, size: int, threads: int) -> tuple[Dataset, Dataset]:
    """The images to learn from and those held out: always the same ones.

    The sewer frames are of two sequences a class, near-duplicates within each, so one is learned from and one held out.
    """
    dataset = data.load(laid_out(pack, Path()), size, size, threads=threads)
    groups = data.groups_of(dataset.item_ids, SEWER_SEQUENCE) if pack == "sewer" else None
    return halves(dataset, TEST_FRACTION, groups)


def retrieval(vectors: NDArray[Any], labels: NDArray[np.int64]) -> dict[str, Interval]:
    """Each measure over all images as queries."""
    scores = query_scores(vectors, labels, askable(labels))
    return dict(zip(MEASURES, mean_intervals(scores, draws=DRAWS, seed=0), strict=True))


def mapped(vectors: NDArray[np.float32], labels: NDArray[np.int64]) -> Map:
    """The paper's map and clusters."""
    positions = lay_out(vectors, PERPLEXITY, seed=0)
    clusters = density_clusters(positions, EPS, MIN_SAMPLES)
    is_noise = (clusters == NOISE).astype(np.float64)[:, None]
    return Map(
        positions=positions,
        clusters=clusters,
        count=cluster_count(positions, EPS, MIN_SAMPLES, draws=DRAWS, seed=0),
        noise=mean_intervals(is_noise, draws=DRAWS, seed=0)[0],
        nmi=normalized_mutual_information(labels, clusters, draws=DRAWS, seed=0),
    )


def row(title: str, figures: dict[str, Interval], found: Map | None = None) -> str:
    cells = [told(figures[measure]) for measure in ("map_at_r", "precision_at_1")]
    line = f"{title:<20}" + "".join(f"{cell:<24}" for cell in cells)
    if found is not None:
        line += f"{told(found.count, '.0f'):<14}{told(found.nmi):<24}{told(found.noise)}"
    return line.rstrip()


def sheet(
    model: Network, images: Dataset, vectors: NDArray[np.float32], clusters: NDArray[np.int64], seed: int
) -> Image.Image:
    """For each cluster two rows: a member drawn at random with the ten most similar images, and their heat maps."""
    numbers = np.unique(clusters[clusters != NOISE])
    generator = np.random.default_rng(seed)
    picture = Image.new("RGB", (MARGIN + (1 + NEIGHBOURS) * (TILE + GAP) + GAP, len(numbers) * PITCH + GAP), "white")
    pen = ImageDraw.Draw(picture)
    for place, number in enumerate(numbers):
        top = place * PITCH + GAP
        members = np.flatnonzero(clusters == number)
        asked = generator.choice(members, 1)
        nearest_k, _ = nearest(vectors[asked], vectors, NEIGHBOURS, own=asked)
        shown = np.concatenate([asked, nearest_k[0]])
        pen.text(
            (GAP, top),
            f"cluster {number}\n{len(members)} images\n{images.class_names[images.labels[asked[0]]]}",
            "black",
        )
        for column, (image, heat) in enumerate(
            zip(images.images[shown], heatmaps(model, images.images[shown]), strict=True)
        ):
            left = MARGIN + column * (TILE + GAP) + (GAP if column else 0)
            tile = Image.fromarray(image).resize((TILE, TILE), Image.Resampling.BICUBIC)
            picture.paste(tile, (left, top))
            picture.paste(Image.blend(tile, coloured(heat), 0.5), (left, top + TILE + GAP))
    return picture


def heatmaps(model: Network, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    with torch.inference_mode():
        maps: NDArray[np.float32] = model.heatmaps(model(torch.from_numpy(images))).numpy()
    return maps


def coloured(heat: NDArray[np.float32]) -> Image.Image:
    """A heat map over its own maximum, as a tile."""
    shares = Image.fromarray(heat / max(heat.max(), np.finfo(np.float32).tiny))
    wide = np.asarray(shares.resize((TILE, TILE), Image.Resampling.BICUBIC)).clip(0, 1)
    return Image.fromarray((colormaps["inferno"](wide)[..., :3] * 255).astype(np.uint8))


if __name__ == "__main__":
    main()
