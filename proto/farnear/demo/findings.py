"""What a demo run found: everything that its report and its summary tell."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from farnear.results import Cluster, Clustering, MapPoint, SearchResult


@dataclass(frozen=True, kw_only=True)
class Score:
    """How well images of the same class are found among the images held out, both from 0 to 1.

    Attributes:
        precision_at_1: Share of the images whose nearest other image has their class.
        map_at_r: Mean average precision at R, R being the number of other images of the class (Musgrave et al. 2020).
    """

    precision_at_1: float
    map_at_r: float

    @classmethod
    def read(cls, record: Mapping[str, Any]) -> "Score":
        """The score in a bundle's `evaluation`, or in one of its parts."""
        return cls(precision_at_1=record["precision_at_1"], map_at_r=record["map_at_r"])

    def is_above(self, other: "Score") -> bool:
        """Whether it is higher in both measures."""
        return self.precision_at_1 > other.precision_at_1 and self.map_at_r > other.map_at_r


@dataclass(frozen=True, kw_only=True)
class Training:
    """What `farnear train` reported, how long it took in all, and whether that was an earlier run's."""

    digest: str
    learned: Score
    raw_pixels: Score
    chance: Score
    iterations: int
    image_size: int
    seed: int
    seconds_per_step: float
    seconds: float
    is_reused: bool


@dataclass(frozen=True, kw_only=True)
class Question:
    """A held-out image and what the service answered for it."""

    item_id: str
    label: str
    result: SearchResult


@dataclass(frozen=True, kw_only=True)
class ClusterRow:
    """A cluster by pictures.

    Attributes:
        cluster: The cluster.
        item_ids: Its medoid, then the members most similar to that, most similar first.
        overlays: PNGs of their heat maps over the images, in the same order.
    """

    cluster: Cluster
    item_ids: tuple[str, ...]
    overlays: tuple[bytes, ...]


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """Where and when a run was made.

    Attributes:
        machine: Processor and cores.
        ended: When it ended, with its time zone.
        seconds: From its start to the report.
        versions: Of what did the work, by name.
    """

    machine: str
    ended: datetime
    seconds: float
    versions: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Findings:
    """All of it.

    Attributes:
        images: The folder in which item ids are paths.
        class_counts: Images of each class.
        held_out: The ids that training did not see.
        training: How the model came about and how good it is.
        questions: What was asked.
        clustering: The clusters of the map.
        points: The map, every image of it.
        rows: The largest clusters, largest first.
        conditions: Where and when.
    """

    images: Path
    class_counts: Mapping[str, int]
    held_out: frozenset[str]
    training: Training
    questions: tuple[Question, ...]
    clustering: Clustering
    points: tuple[MapPoint, ...]
    rows: tuple[ClusterRow, ...]
    conditions: Conditions

    @property
    def noise_share(self) -> float:
        """Share of the images on the map that are in no cluster, 0 to 1."""
        return self.clustering.noise_count / len(self.points)
