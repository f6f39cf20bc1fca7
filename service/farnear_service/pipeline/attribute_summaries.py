"""What some items say of each attribute."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farnear_service.columns import Column, ColumnsView, time_of
from farnear_service.types import AttributeValue

VALUES = 10
_NO_ATTRIBUTES = {"label", "create_time"}


@dataclass(frozen=True, kw_only=True)
class AttributeSummary:
    """What items say of one attribute, of which `count` have it.

    `values` are the most frequent strings or bools with their counts, at most ten; `range` the least, median and
    greatest number or timestamp. The median is that of the lower half where the count is even, and so always a value.
    """

    name: str
    count: int
    values: tuple[tuple[AttributeValue, int], ...] = ()
    range: tuple[AttributeValue, AttributeValue, AttributeValue] | None = None


def attribute_summaries(columns: ColumnsView, rows: NDArray[np.int64]) -> tuple[AttributeSummary, ...]:
    """A summary of each attribute that one of some rows has, in order of name."""
    found = []
    for name in sorted(columns.fields.keys() - _NO_ATTRIBUTES):
        column = columns.fields[name]
        values = column.values[rows]
        values = values[values != column.absent]
        if len(values):
            found.append(_summary(name, column, values))
    return tuple(found)


def _summary(name: str, column: Column, values: NDArray[Any]) -> AttributeSummary:
    decode = _decoder(column)
    if column.vocabulary is None and values.dtype != np.int8:
        ordered = np.sort(values)
        least, median, greatest = (decode(ordered[at].item()) for at in (0, (len(ordered) - 1) // 2, -1))
        return AttributeSummary(name=name, count=len(values), range=(least, median, greatest))
    codes, counts = np.unique(values, return_counts=True)
    entries = [(decode(code), count) for code, count in zip(codes.tolist(), counts.tolist(), strict=True)]
    entries.sort(key=lambda entry: (-entry[1], str(entry[0])))
    return AttributeSummary(name=name, count=len(values), values=tuple(entries[:VALUES]))


def _decoder(column: Column) -> Callable[[Any], AttributeValue]:
    if column.vocabulary is not None:
        return column.vocabulary.words().__getitem__
    match column.values.dtype:
        case np.int8:
            return bool
        case np.int64:
            return time_of
        case _:
            return float
