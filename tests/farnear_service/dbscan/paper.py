"""The terms of Ester et al. 1998, spelled out, to show where a rule of the paper is at its limits."""

from collections.abc import Iterable

import numpy as np
from farnear_service.dbscan import ClusterEvent, PlaneDbscan

from tests.farnear_service.dbscan.judge import check


class Figure:
    """An engine of points that are known by their places: x + y i, so that on a line they are plain numbers."""

    def __init__(self, places: Iterable[complex], *, eps: float, min_samples: int) -> None:
        self.eps, self.min_samples = eps, min_samples
        self.places = list(places)
        self.engine = PlaneDbscan(eps=eps, min_samples=min_samples)
        self.engine.insert([_key(place) for place in self.places], [_point(place) for place in self.places])
        self._check()

    def insert(self, place: complex) -> tuple[ClusterEvent, ...]:
        events = self.engine.insert([_key(place)], [_point(place)])
        self.places.append(place)
        self._check()
        return events

    def delete(self, place: complex) -> tuple[ClusterEvent, ...]:
        events = self.engine.delete([_key(place)])
        self.places.remove(place)
        self._check()
        return events

    def clusters(self) -> dict[int, list[complex]]:
        """The places of each cluster's members, by identity."""
        now = self.engine.snapshot()
        places = now.points[:, 0] + 1j * now.points[:, 1]
        return {label: np.sort(places[now.labels == label]).tolist() for label in self.engine.sizes}

    def around(self, place: complex) -> set[complex]:
        """The Eps-neighbourhood of a place."""
        return {other for other in self.places if abs(other - place) <= self.eps}

    def cores(self) -> set[complex]:
        """The core points."""
        return {place for place in self.places if len(self.around(place)) >= self.min_samples}

    def seeds(self, changed: Iterable[complex]) -> set[complex]:
        """UpdSeed: the core points around those whose core property has changed."""
        return {core for place in changed for core in self.around(place)} & self.cores()

    def _check(self) -> None:
        held = {_key(place): _point(place) for place in self.places}
        check(self.engine, held, self.eps, self.min_samples)


def _key(place: complex) -> int:
    return 10_000 * round(100 * place.real) + round(100 * place.imag)


def _point(place: complex) -> tuple[float, float]:
    return place.real, place.imag
