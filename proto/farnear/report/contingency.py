"""Which classes are in which clusters: the table of counts, and how much the two groupings tell of each other."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import normalized_mutual_info_score

NOISE = -1

_Entry = TypeVar("_Entry")


@dataclass(frozen=True, kw_only=True)
class Contingency:
    """Counts of items, int64 of shape (R, C): R clusters by C classes.

    `row_names` are those of the clusters, `column_names` those of the classes.
    """

    row_names: tuple[str, ...]
    column_names: tuple[str, ...]
    counts: NDArray[np.int64]


def tabulate(counts: Mapping[tuple[int, str], int], clusters: Sequence[int], *, rows: int, columns: int) -> Contingency:
    """The table for people.

    Args:
        counts: Items by cluster, -1 being the noise, and label, the empty one being no class.
        clusters: The clusters in order of their rows.
        rows: The most clusters with a row of their own; the others share one, and the noise is the last.
        columns: The most classes with a column, the commonest; the others share one, and no class is the last.
    """
    totals: Counter[str] = Counter()
    for (_, label), count in counts.items():
        totals[label] += count
    commonest = sorted((label for label in totals if label), key=lambda label: (-totals[label], label))
    labels = sorted(commonest[:columns]) + commonest[columns:]
    row_of, column_of = _places(clusters, rows), _places(labels, columns)
    row_names, column_names = [*_names(row_of, "others"), "noise"], _names(column_of, "other classes")
    row_of[NOISE] = len(row_names) - 1
    if totals[""]:
        column_of[""] = len(column_names)
        column_names.append("no class")
    table = np.zeros((len(row_names), len(column_names)), np.int64)
    for (cluster, label), count in counts.items():
        # A cluster that came about after the clusters were listed has no row.
        if cluster in row_of:
            table[row_of[cluster], column_of[label]] += count
    return Contingency(row_names=tuple(row_names), column_names=tuple(column_names), counts=table)


def mutual_information(counts: Mapping[tuple[int, str], int], *, with_noise: bool) -> float | None:
    """What cluster and class of an item tell of each other, 0 to 1: mutual information over the mean of the entropies.

    Items without a class do not count. With noise, it counts as one more cluster; without it, its items do not count.
    None where nothing counts.
    """
    counted = {
        (cluster, label): count
        for (cluster, label), count in counts.items()
        if label and (with_noise or cluster != NOISE)
    }
    if not counted:
        return None
    times = list(counted.values())
    clusters = np.repeat([cluster for cluster, _ in counted], times)
    _, classes = np.unique([label for _, label in counted], return_inverse=True)
    return float(normalized_mutual_info_score(np.repeat(classes, times), clusters))


def _places(entries: Sequence[_Entry], limit: int) -> dict[_Entry, int]:
    """The row or column of each entry: its own up to the limit, and then a common one, if that saves any."""
    own = limit if len(entries) > limit + 1 else len(entries)
    return {entry: min(place, own) for place, entry in enumerate(entries)}


def _names(places: Mapping[_Entry, int], others: str) -> list[str]:
    shared = Counter(places.values())
    own = [str(entry) for entry, place in places.items() if shared[place] == 1]
    return [*own, *(f"{count} {others}" for count in shared.values() if count > 1)]
