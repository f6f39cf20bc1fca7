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
        kin_trained_on: How many more of them are of a group of which it was.
    """

    name: str
    reason: str
    images: NDArray[np.int64]
    references: NDArray[np.int64]
    probes: NDArray[np.int64]
    references_are: str
    trained_on: int
    kin_trained_on: int


def choose(bundle: Bundle, dataset: Dataset, asked: str | None, seed: int, *, group_regex: str | None = None) -> Part:
    """The part `asked` for; for None the bundle's test images where `dataset` holds all of them, else all images.

    The references of `test` are the bundle's training images; where those are not in `dataset`, and for the other
    parts, a seeded 70 % of each class of the part itself. With `group_regex` no group is on both sides: training
    images of a group that is measured are no references, and the 70 % are of whole groups.

    Raises:
        PartError: The part has no image, no two of one class, or references of one class only.
        DataError: The groups cannot be told, or leave a class that cannot be on both sides.
    """
    known = {name: _positions(dataset, bundle.split[name]) for name in ("train", "test")}
    name, reason = _decide(bundle, dataset, {name: positions.size for name, positions in known.items()}, asked)
    images = np.arange(len(dataset)) if name == "all" else known[name]
    if not images.size:
        raise PartError(f"--split: none of the bundle's {len(bundle.split[name])} {name} images is in DATA")
    labels = dataset.labels[images]
    if np.bincount(labels).max() < 2:
        raise PartError(f"--split: no class has two of the {len(images)} images of the part {name!r}; needed is one")

    # Without groups each image is its own.
    groups = np.asarray(dataset.item_ids if group_regex is None else data.groups_of(dataset.item_ids, group_regex))
    trained_on, kin = np.isin(images, known["train"]), np.isin(groups[images], groups[known["train"]])
    if name == "test" and known["train"].size:
        probes = images
        references = np.setdiff1d(known["train"], np.flatnonzero(np.isin(groups, groups[images])))
        references_are = "the bundle's training images"
        if dropped := len(known["train"]) - len(references):
            references_are += f", less {dropped} of groups that are measured"
    else:
        by_group = None if group_regex is None else groups[images].tolist()
        chosen, rest = data.split(labels, _PROBE_FRACTION, seed, by_group, class_names=dataset.class_names)
        references, probes = images[chosen], images[rest]
        references_are = (
            f"{100 * (1 - _PROBE_FRACTION):.0f} % of each class of the images measured, drawn with seed {seed}"
        )
        if by_group is not None:
            references_are += ", whole groups at a time"
    if (count := len(np.unique(dataset.labels[references]))) < 2:
        raise PartError(f"--split: images of {count} classes to compare the part {name!r} with; needed are two or more")
    return Part(
        name=name,
        reason=reason,
        images=images,
        references=references,
        probes=probes,
        references_are=references_are,
        trained_on=int(trained_on.sum()),
        kin_trained_on=int((kin & ~trained_on).sum()),
    )


def _decide(bundle: Bundle, dataset: Dataset, found: Mapping[str, int], asked: str | None) -> tuple[str, str]:
    listed = {name: len(item_ids) for name, item_ids in bundle.split.items()}
    if asked == "all":
        return asked, "asked for"
    if asked is not None:
        if not listed[asked]:
            raise PartError(f"--split: bundle {bundle.path} names no {asked} images; allowed is all")
        return asked, f"asked for; DATA holds {found[asked]} of the bundle's {listed[asked]} {asked} images"
    if not listed["test"]:
        return "all", "the bundle names no test images"
    unreadable = len(bundle.split["test"] & dataset.bad.keys())
    if found["test"] + unreadable == listed["test"]:
        but = f", {unreadable} of which cannot be read" if unreadable else ""
        return "test", f"DATA holds all of the bundle's test images{but}"
    return "all", f"DATA holds {found['test']} of the bundle's {listed['test']} test images, not all of them"


def _positions(dataset: Dataset, item_ids: frozenset[str]) -> NDArray[np.int64]:
    return np.flatnonzero([item_id in item_ids for item_id in dataset.item_ids])
