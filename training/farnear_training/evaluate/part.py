"""Which images of DATA are measured, and which ones are known when a class is to be told."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from farnear_training import data
from farnear_training.data import Dataset
from farnear_training.evaluate.bundle import Bundle

PARTS = ("test", "train", "all")
_PROBE_FRACTION = 0.3


class PartError(ValueError):
    """The part asked for is not in DATA, or nothing can be measured on it."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """Positions in DATA, each int64 and ascending.

    Attributes:
        name: One of PARTS.
        reason: Why that one, in words.
        images: What is measured: each a query against all others of them, all of them on the map.
        references: Whose class is known when that of `probes` is to be told.
        probes: The ones among `images` whose class is to be told.
        references_are: Where the references come from, in words.
        trained_on: How many of `images` the model was trained on.
    """

    name: str
    reason: str
    images: NDArray[np.int64]
    references: NDArray[np.int64]
    probes: NDArray[np.int64]
    references_are: str
    trained_on: int


def choose(bundle: Bundle, dataset: Dataset, asked: str | None, seed: int) -> Part:
    """The part `asked` for; for None the bundle's test images where all of them are in `dataset`, else all images.

    The references of `test` are the bundle's training images; where those are not in `dataset`, and for the other
    parts, a seeded 70 % of each class of the part itself.

    Raises PartError where the part has no image, no two of one class, or references of one class only.
    """
    known = {name: _positions(dataset, bundle.split[name]) for name in ("train", "test")}
    name, reason = _decide(bundle, {name: positions.size for name, positions in known.items()}, asked)
    images = np.arange(len(dataset)) if name == "all" else known[name]
    if not images.size:
        raise PartError(f"--split: none of the bundle's {len(bundle.split[name])} {name} images is in DATA")
    labels = dataset.labels[images]
    if np.bincount(labels).max() < 2:
        raise PartError(f"--split: no class has two of the {len(images)} images of the part {name!r}; needed is one")
    if name == "test" and known["train"].size:
        references, probes = known["train"], images
        references_are = "the bundle's training images"
    else:
        chosen, rest = data.split(labels, _PROBE_FRACTION, seed)
        references, probes = images[chosen], images[rest]
        references_are = (
            f"{100 * (1 - _PROBE_FRACTION):.0f} % of each class of the images measured, drawn with seed {seed}"
        )
    if len(np.unique(dataset.labels[references])) < 2:
        raise PartError(f"--split: only one class has images to compare the part {name!r} with; needed are two")
    return Part(
        name=name,
        reason=reason,
        images=images,
        references=references,
        probes=probes,
        references_are=references_are,
        trained_on=int(np.isin(images, known["train"]).sum()),
    )


def _decide(bundle: Bundle, found: Mapping[str, int], asked: str | None) -> tuple[str, str]:
    listed = {name: len(item_ids) for name, item_ids in bundle.split.items()}
    if asked == "all":
        return asked, "asked for"
    if asked is not None:
        if not listed[asked]:
            raise PartError(f"--split: bundle {bundle.path} names no {asked} images; allowed is all")
        return asked, f"asked for; DATA holds {found[asked]} of the bundle's {listed[asked]} {asked} images"
    if not listed["test"]:
        return "all", "the bundle names no test images"
    if found["test"] == listed["test"]:
        return "test", "DATA holds all of the bundle's test images"
    return "all", f"DATA holds {found['test']} of the bundle's {listed['test']} test images, not all of them"


def _positions(dataset: Dataset, item_ids: frozenset[str]) -> NDArray[np.int64]:
    return np.flatnonzero([item_id in item_ids for item_id in dataset.item_ids])
