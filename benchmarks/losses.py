"""Which loss learns an embedding best, at equal budget, and does MN-pair learn faster than N-pair?

Every loss trains the same network from the same weights on the same batches, changed in the same way. Each is tried as
it comes (`default`: the library's, for MN-pair and N-pair the paper's) and with a grid of settings of the same size for
all; of the grid the one with the best MAP@R on validation images, a fifth of the training images, goes on (`tuned`).
Only those two are judged, once a seed, on test images that none of it has seen. Seeds change weights and batches, never
the split. The baseline in the same run is `n-pair`: differences are paired, by query, with bootstrap 95 % intervals.

As it comes this is a taste of a minute. The whole table, of about 200 runs and two to three hours of one core:

    losses.py --sets neu elpv sewer cifar10 --losses all --seeds 3 --iterations 400 --image-size 48 --record runs.jsonl

A run that is in the record already is not run again, so a stopped benchmark goes on where it was. The image sets but
elpv lie in the folder that FARNEAR_DATA names.
"""

import argparse
import dataclasses
import json
import os
import shutil
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from conditions import print_conditions
from farnear.demo import cells
from farnear_training import data
from farnear_training.data import Dataset
from farnear_training.losses import (
    LOSSES,
    ContrastiveLoss,
    CosineLoss,
    InfoNceLoss,
    Loss,
    MnPairLoss,
    NPairLoss,
    SupConLoss,
    TripletLoss,
)
from farnear_training.metrics import MEASURES, Interval, askable, mean_intervals, query_scores
from farnear_training.train.loop import train
from farnear_training.train.settings import TrainSettings

SETS = ("neu", "elpv", "sewer", "cifar10")
BASELINE = "n-pair"
POINTS = 8
CIFAR_PER_CLASS = 1000
CIFAR_SIZE = 32
SEWER_SEQUENCE = r"(_copy|)\.jpg$"
HERE = Path(__file__).parent
PACKS = Path(os.environ.get("FARNEAR_DATA", HERE.parent.parent / "shared" / "data"))


def grid(loss: str, class_count: int) -> list[Loss]:
    """Four settings of a loss; the first is its default."""
    paper = MnPairLoss(m=class_count, n=class_count)
    grids: dict[str, list[Loss]] = {
        "mn-pair": [
            paper,
            dataclasses.replace(paper, temperature=0.1),
            MnPairLoss(temperature=0.1, positive_weight=0.3),
            MnPairLoss(temperature=0.05, positive_weight=0.15),
        ],
        "n-pair": [NPairLoss(temperature=value) for value in (0.3, 0.2, 0.1, 0.05)],
        "info-nce": [InfoNceLoss(temperature=value) for value in (0.07, 0.1, 0.2, 0.3)],
        "supcon": [SupConLoss(temperature=value) for value in (0.1, 0.05, 0.2, 0.3)],
        "triplet": [
            TripletLoss(),
            TripletLoss(margin=0.2),
            TripletLoss(margin=0.2, mining="random"),
            TripletLoss(margin=0.2, mining="hard"),
        ],
        "contrastive": [ContrastiveLoss(margin=value) for value in (1.0, 0.5, 0.75, 1.4)],
        "cosine": [CosineLoss(margin=value) for value in (0.0, -0.2, 0.2, 0.5)],
    }
    return grids[loss]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=["elpv"])
    parser.add_argument("--losses", nargs="+", choices=["all", *LOSSES], default=["mn-pair", "n-pair", "triplet"])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--iterations", type=int, default=50)
    parser.add_argument("--image-size", type=int, default=32, help="32 at most for CIFAR-10")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--augmentation", default="random-erasing")
    parser.add_argument("--network", default="mn-pair-cnn")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--record", type=Path, help="JSON, a line a run (default: none is kept)")
    arguments = parser.parse_args()
    chosen = list(LOSSES) if "all" in arguments.losses else arguments.losses
    print_conditions("torch", "kornia", "numpy")

    budget = {
        name: getattr(arguments, name)
        for name in ("network", "iterations", "batch_size", "learning_rate", "augmentation", "threads")
    }
    print("budget    " + ", ".join(f"{name} {value}" for name, value in budget.items()) + "\n")
    record = Record(arguments.record)
    ranks: dict[str, list[int]] = {loss: [] for loss in chosen}
    for pack in arguments.sets:
        size = min(arguments.image_size, CIFAR_SIZE) if pack == "cifar10" else arguments.image_size
        learned, validation, test = parts(pack, size, arguments.threads)
        print(
            f"{pack}: {len(learned)} learned from, {len(validation)} to validate on, {len(test)} test images,", end=" "
        )
        print(f"{len(test.class_names)} classes, {size} px\n", flush=True)
        judged: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for loss in chosen:
            tried = [
                TrainSettings(
                    loss=setting, image_size=size, validate_every=max(1, arguments.iterations // POINTS), **budget
                )
                for setting in grid(loss, len(test.class_names))
            ]
            first = [record.run(pack, settings, learned, validation, test) for settings in tried]
            finals = [row["curve"][-1][1] for row in first]
            for title, i in (("default", 0), ("tuned", finals.index(max(finals)))):
                others = [dataclasses.replace(tried[i], seed=seed) for seed in range(1, arguments.seeds)]
                rest = [record.run(pack, settings, learned, validation, test) for settings in others]
                judged[loss, title] = [first[i], *rest]
        report(judged)
        final = {loss: np.mean([row["curve"][-1][1] for row in judged[loss, "default"]]) for loss in chosen}
        for loss in chosen:
            ranks[loss].append(1 + sum(value > final[loss] for value in final.values()))
    print("ranks by validation MAP@R at the defaults, set by set, and their mean, which chooses the trainer's default")
    for loss in sorted(chosen, key=lambda loss: sum(ranks[loss])):
        print(f"{loss:<13}" + "".join(f"{rank:>4}" for rank in ranks[loss]) + f"{np.mean(ranks[loss]):>8.2f}")


class Record:
    """What was run so far, in a file of JSON with a line a run, if one is given."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        rows = [json.loads(line) for line in path.read_text().splitlines()] if path and path.exists() else []
        self._rows: dict[str, dict[str, Any]] = {self._key(row["set"], row["settings"]): row for row in rows}

    def run(
        self, pack: str, settings: TrainSettings, learned: Dataset, validation: Dataset, test: Dataset
    ) -> dict[str, Any]:
        """Trains and judges; or what that found when it was done before."""
        key = self._key(pack, settings.to_json())
        if key not in self._rows:
            with tempfile.TemporaryDirectory() as folder:
                began = time.perf_counter()
                trained = train(learned, settings, checkpoints=Path(folder), validation=validation)
            with torch.inference_mode():
                batches = np.array_split(test.images, -(-len(test) // 64))
                vectors = np.concatenate([trained.model(torch.from_numpy(b)).embedding.numpy() for b in batches])
            scores = query_scores(vectors, test.labels, askable(test.labels))
            self._rows[key] = {
                "set": pack,
                "settings": settings.to_json(),
                "seconds": round(time.perf_counter() - began, 1),
                "curve": [[found.step, round(found.map_at_r, 4)] for found in trained.history],
                "queries": {name: scores[:, i].round(4).tolist() for i, name in enumerate(MEASURES)},
            }
            if self._path is not None:
                with self._path.open("a") as stream:
                    stream.write(json.dumps(self._rows[key]) + "\n")
        return self._rows[key]

    @staticmethod
    def _key(pack: str, settings: dict[str, Any]) -> str:
        return json.dumps([pack, settings], sort_keys=True)


def report(judged: dict[tuple[str, str], list[dict[str, Any]]]) -> None:
    """Prints the table of test retrieval, and the curves of validation MAP@R."""
    scores = {
        key: np.mean([[row["queries"][name] for name in MEASURES] for row in rows], axis=0).T
        for key, rows in judged.items()
    }
    print(f"{'loss':<13}{'':<9}{'MAP@R, 95 % interval':<26}{'seeds':<17}{'precision@1':<14}", end="")
    print(f"{'MAP@R beyond n-pair, tuned':<30}settings")
    for (loss, title), rows in judged.items():
        intervals = dict(zip(MEASURES, mean_intervals(scores[loss, title], draws=2000, seed=0), strict=True))
        of_seeds = [float(np.mean(row["queries"]["map_at_r"])) for row in rows]
        beyond = ""
        if (BASELINE, "tuned") in scores and (loss, title) != (BASELINE, "tuned"):
            (difference, *_) = mean_intervals(
                (scores[loss, title] - scores[BASELINE, "tuned"])[:, [MEASURES.index("map_at_r")]], draws=2000, seed=0
            )
            beyond = told(difference, "+.3f")
        precision = f"{intervals['precision_at_1'].value:.3f}"
        settings = {name: value for name, value in rows[0]["settings"]["loss"].items() if name != "name"}
        print(
            f"{loss:<13}{title:<9}{told(intervals['map_at_r']):<26}{f'{min(of_seeds):.3f} to {max(of_seeds):.3f}':<17}"
            f"{precision:<14}{beyond:<30}{', '.join(f'{name} {value}' for name, value in settings.items())}"
        )
    steps = [step for step, _ in next(iter(judged.values()))[0]["curve"]]
    print("\nvalidation MAP@R, mean of the seeds, after so many steps")
    print(f"{'':<22}" + "".join(f"{step:>7}" for step in steps))
    for (loss, title), rows in judged.items():
        means = np.mean([[value for _, value in row["curve"]] for row in rows], axis=0)
        print(f"{loss:<13}{title:<9}" + "".join(f"{value:>7.3f}" for value in means))
    print(flush=True)


def told(interval: Interval, form: str = ".3f") -> str:
    return f"{interval.value:{form}} ({interval.low:{form}} to {interval.high:{form}})"


def parts(pack: str, size: int, threads: int) -> tuple[Dataset, Dataset, Dataset]:
    """The images to learn from, to validate on and to test on: always the same.

    The sewer frames are of two sequences a class, whose names tell which (`_copy` or not). Frames of one sequence are
    near-duplicates, so the test images are another sequence's; the validation images can only be the same one's.
    """
    with tempfile.TemporaryDirectory() as folder:
        dataset = data.load(laid_out(pack, Path(folder)), size, size, threads=threads)
    groups = data.groups_of(dataset.item_ids, SEWER_SEQUENCE) if pack == "sewer" else None
    seen, test = halves(dataset, 0.3, groups)
    learned, validation = halves(seen, 0.2)
    return learned, validation, test


def halves(dataset: Dataset, fraction: float, groups: Sequence[str] | None = None) -> tuple[Dataset, Dataset]:
    first, second = data.split(dataset.labels, fraction, 0, groups, class_names=dataset.class_names)
    return dataset.subset(first), dataset.subset(second)


def image_set(name: str) -> Path:
    """The file of a set; ends the benchmark where it is not there."""
    if not (PACKS / name).exists():
        sys.exit(f"{PACKS / name} is missing; FARNEAR_DATA names the folder of the image sets")
    return PACKS / name


def laid_out(pack: str, folder: Path) -> Path:
    """A folder or tar of class/file."""
    if pack == "neu":
        return image_set("neu_steel.tar")
    if pack == "sewer":
        return image_set("sewer_cctv.tar")
    if pack == "elpv":
        cells.lay_out(cells.source(), folder)
        return folder
    counts: dict[str, int] = {}
    with tarfile.open(image_set("cifar10.tar.gz")) as archive:
        for member in archive:
            split, _, item_id = member.name.removeprefix("./").partition("/")
            label = item_id.split("/")[0]
            stream = archive.extractfile(member) if split == "train" and member.isfile() else None
            if stream is not None and counts.get(label, 0) < CIFAR_PER_CLASS:
                counts[label] = counts.get(label, 0) + 1
                (folder / label).mkdir(exist_ok=True)
                with (folder / item_id).open("wb") as target:
                    shutil.copyfileobj(stream, target)
    return folder


if __name__ == "__main__":
    main()
