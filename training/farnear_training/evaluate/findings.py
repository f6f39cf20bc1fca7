"""What an evaluation found: everything that `evaluation.json` and the report tell."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from farnear_training.data import Dataset
from farnear_training.evaluate.bundle import Bundle
from farnear_training.evaluate.part import Part
from farnear_training.metrics import Interval, Retrieval


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything but the bundle and the images that decides the figures.

    Attributes:
        seed: Of all that is drawn: the split of `all`, the bootstrap, the map's start, the queries shown.
        threads: CPU threads.
        group_regex: Images in whose path it captures the same are on one side where classes are told.
        max_bad_images: Images that may be unreadable: they are passed over.
        k: Neighbours that vote.
        perplexity: Of t-SNE; a third of the other images where that is less.
        eps: Of DBSCAN, in map units.
        min_samples: Of DBSCAN, the point itself counted.
        draws: Of the bootstrap.
        query_limit: Where more images could be asked about, that many of them are drawn.
        map_limit: Where more images could be on the map, that many of them are drawn.
        heatmap_limit: Where more images could have their heat maps judged, that many of them are drawn.
    """

    seed: int = 0
    threads: int = 1
    group_regex: str | None = None
    max_bad_images: int = 0
    k: int = 5
    perplexity: float = 30.0
    eps: float = 3.0
    min_samples: int = 10
    draws: int = 1000
    query_limit: int = 10_000
    map_limit: int = 10_000
    heatmap_limit: int = 100


@dataclass(frozen=True, kw_only=True)
class RetrievalFigures:
    """Retrieval by measure; `gain` is what the embedding has over raw pixels, query by query.

    `query_count` images were asked about.
    """

    query_count: int
    learned: Mapping[str, Interval]
    raw_pixels: Mapping[str, Interval]
    gain: Mapping[str, Interval]
    chance: Retrieval


@dataclass(frozen=True, kw_only=True)
class ClassificationFigures:
    """How often the class of a probe is told from references; shares from 0 to 1.

    Attributes:
        k: Neighbours that voted.
        knn: Of the vote of the k nearest.
        logistic_regression: Of the most probable class.
        top_3: Of the three most probable classes; None where there are no more than three.
        commonest: Of always telling the references' commonest class.
        has_converged: Whether the logistic regression came to its end.
        confusion: Of the logistic regression: true class by told class, of shape (C, C).
    """

    k: int
    knn: Interval
    logistic_regression: Interval
    top_3: Interval | None
    commonest: Interval
    has_converged: bool
    confusion: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class ClassFigures:
    """The same for one class; None where none of its images could be asked about."""

    name: str
    image_count: int
    precision_at_1: Interval | None
    map_at_r: Interval | None
    recall: Interval | None


@dataclass(frozen=True, kw_only=True)
class MapFigures:
    """The map and its clusters.

    Attributes:
        images: Positions among the images measured, of shape (P,).
        positions: In map units, of shape (P, 2).
        clusters: Of shape (P,), -1 for noise.
        perplexity: As it was used.
        cluster_count: Noise not counted.
        noise_share: Share of the P images in no cluster, 0 to 1.
        nmi: Normalised mutual information of cluster and class, noise counted as one cluster.
    """

    images: NDArray[np.int64]
    positions: NDArray[np.float64]
    clusters: NDArray[np.int64]
    perplexity: float
    cluster_count: Interval
    noise_share: Interval
    nmi: Interval


@dataclass(frozen=True, kw_only=True)
class FaithfulnessFigures:
    """Whether heat maps show what embeddings come from (see evaluate.faithfulness, also for the names).

    Attributes:
        image_count: Images whose maps were judged.
        scores: By contender, `heatmap` and those that know nothing of the image, and measure.
        gains: What the heat map has over each of the others, image by image, by contender and measure.
        curves: The mean cosine at each of SHARES, by contender, of `deletion` and of `insertion`.
    """

    image_count: int
    scores: Mapping[str, Mapping[str, Interval]]
    gains: Mapping[str, Mapping[str, Interval]]
    curves: Mapping[str, Mapping[str, tuple[float, ...]]]


@dataclass(frozen=True, kw_only=True)
class Neighbours:
    """An image, by position among those measured, and those most like it, most alike first."""

    query: int
    nearest: tuple[int, ...]
    similarities: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """Where and when, in how many seconds, with which versions of what did the work."""

    machine: str
    ended: datetime
    seconds: float
    versions: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Findings:
    """All of it.

    Attributes:
        bundle: What was evaluated.
        data: Where the images lie.
        measured: The images measured; positions in what follows count these.
        part: Which images of DATA these are.
        bad_images: Which ones cannot be read and were passed over: reasons by item id.
        settings: Of the evaluation.
        retrieval: Figures of retrieval.
        classification: Figures of classification.
        classes: Figures of each class of DATA.
        map: The map; None where there are fewer images than could make a cluster.
        faithfulness: Figures of the heat maps; None where the graph gives none.
        examples: One image of each class, drawn.
        mistakes: The images whose nearest neighbour is of another class and most alike.
        conditions: Where and when.
    """

    bundle: Bundle
    data: Path
    measured: Dataset
    part: Part
    bad_images: Mapping[str, str]
    settings: Settings
    retrieval: RetrievalFigures
    classification: ClassificationFigures
    classes: tuple[ClassFigures, ...]
    map: MapFigures | None
    faithfulness: FaithfulnessFigures | None
    examples: tuple[Neighbours, ...]
    mistakes: tuple[Neighbours, ...]
    conditions: Conditions
