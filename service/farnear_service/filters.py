"""Which items count: conditions on attributes, id, label, cluster and time of creation, joined by and, or, not.

An item that lacks a field matches no condition on it, and so matches the negation of every one. Ids and labels are
strings that every item has; a label may be empty. Strings are in order of their UTF-8 bytes, which is that of Python's
strings too. The schema's rules, what attributes may be called and hold, are here as well.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from farnear_service.columns import Column, ColumnsView, Texts, among, microseconds
from farnear_service.errors import InvalidError
from farnear_service.types import Attributes, AttributeType, AttributeValue, Schema, check_text

MAX_CONDITIONS = 100
MAX_LEVELS = 8
MAX_VALUES = 1000
MAX_ATTRIBUTES = 64

ABSENT = -2
"""The cluster of an item that is not on the map; -1 is noise."""

RESERVED: Schema = {
    "item_id": AttributeType.STRING,
    "label": AttributeType.STRING,
    "cluster": AttributeType.NUMBER,
    "create_time": AttributeType.TIMESTAMP,
}
"""The fields that are no attributes."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_FIRST, _LAST = microseconds(datetime.min.replace(tzinfo=UTC)), microseconds(datetime.max.replace(tzinfo=UTC))


@dataclass(frozen=True)
class All:
    """Every one of the parts matches."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True)
class AnyOf:
    """One of the parts or more matches."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True)
class Negation:
    """The part does not match."""

    part: Filter


@dataclass(frozen=True)
class Equals:
    """The field has this value."""

    field: str
    value: AttributeValue


@dataclass(frozen=True)
class OneOf:
    """The field has one of these values."""

    field: str
    values: tuple[AttributeValue, ...]


@dataclass(frozen=True, kw_only=True)
class Range:
    """The field's value lies within the bounds, of which there is one or more, and at most one a side."""

    field: str
    above: AttributeValue | None = None
    at_least: AttributeValue | None = None
    below: AttributeValue | None = None
    at_most: AttributeValue | None = None

    def bounds(self) -> dict[str, AttributeValue]:
        """The bounds that are set, by name."""
        named = {"above": self.above, "at_least": self.at_least, "below": self.below, "at_most": self.at_most}
        return {name: value for name, value in named.items() if value is not None}


@dataclass(frozen=True)
class Exists:
    """The item has the field."""

    field: str


Condition = Equals | OneOf | Range | Exists
Filter = All | AnyOf | Negation | Condition

Mask = NDArray[np.bool_]
Comparison = Callable[[Any, Any], Any]

_COMPARISONS: dict[str, Comparison] = {
    "above": operator.gt,
    "at_least": operator.ge,
    "below": operator.lt,
    "at_most": operator.le,
}


def matching(filter: Filter, view: ColumnsView, clusters: NDArray[np.int32] | None) -> Mask:
    """Which of N rows match, (N,), for a filter that `check` passed under the schema of these rows.

    `clusters` of shape (N,) is -1 for noise and -2 for what is not on the map; None where there is no map. O(N) for
    each condition, O(N log V) for one of V values.
    """
    match filter:
        case All(parts):
            return reduce(operator.and_, (matching(part, view, clusters) for part in parts))
        case AnyOf(parts):
            return reduce(operator.or_, (matching(part, view, clusters) for part in parts))
        case Negation(part):
            return ~matching(part, view, clusters)
    column = view.column(filter.field)
    if filter.field == "cluster" and clusters is not None:
        column = Column(clusters, ABSENT)
    match filter:
        case _ if column is None:
            return np.zeros(len(view), np.bool_)
        case Exists():
            return _present(column)
        case Equals(_, value):
            return _among(column, (value,))
        case OneOf(_, values):
            return _among(column, values)
        case Range():
            return _within(column, {_COMPARISONS[name]: bound for name, bound in filter.bounds().items()})


def _present(column: Column | Texts) -> Mask:
    if isinstance(column, Texts):
        return np.ones(len(column), np.bool_)
    mask: Mask = column.values != column.absent
    return mask


def _among(column: Column | Texts, values: tuple[Any, ...]) -> Mask:
    if isinstance(column, Texts):
        return column.among(values)
    if column.vocabulary is None:
        # The mark of a row without a value can be asked for as one: the cluster -2.
        wanted = [stored for value in values if (stored := _stored(value)) != column.absent]
        return among(column.values, np.array(wanted))
    codes = [code for value in values if (code := column.vocabulary.code(value)) is not None]
    return among(column.values, np.array(codes, np.int32))


def _within(column: Column | Texts, bounds: dict[Comparison, Any]) -> Mask:
    if isinstance(column, Texts):
        return reduce(operator.and_, (compare(column.compared(bound), 0) for compare, bound in bounds.items()))
    if column.vocabulary is None:
        inside = (compare(column.values, _stored(bound)) for compare, bound in bounds.items())
        return reduce(operator.and_, inside, _present(column))
    words = column.vocabulary.words()
    matches = (np.array([compare(word, bound) for word in words], np.bool_) for compare, bound in bounds.items())
    mask: Mask = np.append(reduce(operator.and_, matches), False)[column.values]  # the last is of rows without a value
    return mask


def _stored(value: float | bool | datetime) -> float:
    match value:
        case datetime():
            return microseconds(value)
        case bool():
            return int(value)
        case _:
            return value


def check(filter: Filter, schema: Schema) -> None:
    """Raises InvalidError where a filter breaks the contract's rules, has unknown fields, or values of another type."""
    for count, (path, condition) in enumerate(_conditions(filter, "filter", 1), start=1):
        if count > MAX_CONDITIONS:
            raise InvalidError(f"filter: has more than {MAX_CONDITIONS} conditions; allowed are at most so many")
        field = condition.field
        kind = RESERVED.get(field) or schema.get(field)
        if kind is None:
            raise InvalidError(
                f"{path}.field: is {field[:65]!r}; allowed are {', '.join([*RESERVED, *sorted(schema)])}"
            )
        match condition:
            case Equals(_, value):
                _check_value(f"{path}.value", value, kind)
            case OneOf(_, values):
                if not 1 <= len(values) <= MAX_VALUES:
                    raise InvalidError(f"{path}.values: has {len(values)} entries; allowed are 1 to {MAX_VALUES}")
                for place, value in enumerate(values):
                    _check_value(f"{path}.values[{place}]", value, kind)
            case Range():
                _check_bounds(path, condition, kind)


def mentions(filter: Filter, field: str) -> bool:
    """Whether one of the conditions of a filter that `check` passed is on `field`."""
    return any(condition.field == field for _, condition in _conditions(filter, "filter", 1))


def _conditions(filter: Filter, path: str, level: int) -> Iterator[tuple[str, Condition]]:
    if level > MAX_LEVELS:
        raise InvalidError(f"filter: has more than {MAX_LEVELS} levels; allowed are at most so many")
    match filter:
        case All(parts) | AnyOf(parts):
            path = f"{path}.{'all' if isinstance(filter, All) else 'any'}.filters"
            if not parts:
                raise InvalidError(f"{path}: is empty; allowed are 1 filter or more")
            for place, part in enumerate(parts):
                yield from _conditions(part, f"{path}[{place}]", level + 1)
        case Negation(part):
            yield from _conditions(part, f"{path}.negation", level + 1)
        case Equals():
            yield f"{path}.equals", filter
        case OneOf():
            yield f"{path}.one_of", filter
        case Range():
            yield f"{path}.range", filter
        case Exists():
            yield f"{path}.exists", filter


def _check_bounds(path: str, condition: Range, kind: AttributeType) -> None:
    if kind is AttributeType.BOOL:
        raise InvalidError(f"{path}.field: is {condition.field!r}, a bool; allowed are numbers, timestamps and strings")
    bounds = condition.bounds()
    if not bounds:
        raise InvalidError(f"{path}: has no bound; allowed are one or two of {', '.join(_COMPARISONS)}")
    for one, other in (("above", "at_least"), ("below", "at_most")):
        if one in bounds and other in bounds:
            raise InvalidError(f"{path}: has both {one} and {other}; allowed is one of them")
    for name, value in bounds.items():
        _check_value(f"{path}.{name}", value, kind)


def check_schema(schema: Schema) -> None:
    """Raises InvalidError unless there are at most 64 attributes, each with a name that is allowed."""
    if len(schema) > MAX_ATTRIBUTES:
        raise InvalidError(f"attributes: are {len(schema)} in the collection; allowed are at most {MAX_ATTRIBUTES}")
    for name in schema:
        if not _NAME.fullmatch(name) or name in RESERVED:
            raise InvalidError(
                f"attributes: has the name {name[:65]!r}; allowed are 1 to 64 of a-z, A-Z, 0-9, '_', '-', '.', "
                f"starting with a letter, and none of {', '.join(RESERVED)}"
            )


def check_attributes(attributes: Attributes, schema: Schema) -> Schema:
    """The schema with the attributes that are new in it, or the same object where none are.

    Raises:
        InvalidError: for a name that is not allowed, a 65th attribute, a value that is not allowed or of another type.
    """
    new = {name: _type_of(value) for name, value in attributes.items() if name not in schema}
    if new:
        schema = {**schema, **new}
        check_schema(schema)
    for name, value in attributes.items():
        _check_value(f"attributes[{name!r}]", value, schema[name])
    return schema


def _check_value(path: str, value: AttributeValue, kind: AttributeType) -> None:
    came = _type_of(value)
    if came is not kind:
        raise InvalidError(f"{path}: is a {came.value}; allowed is a {kind.value}, as the field is")
    match value:
        case str():
            check_text(path, value, required=False)
        case datetime():
            if value.tzinfo is None:
                raise InvalidError(f"{path}: is {value} without a zone; allowed are times with a zone")
            if not _FIRST <= microseconds(value) <= _LAST:
                raise InvalidError(f"{path}: is {value}; allowed are the years 1 to 9999 in UTC")
        case _ if not math.isfinite(value):
            raise InvalidError(f"{path}: is {value}; allowed are finite numbers")


def _type_of(value: AttributeValue) -> AttributeType:
    match value:
        case str():
            return AttributeType.STRING
        case bool():  # before numbers, as Python counts it among them
            return AttributeType.BOOL
        case datetime():
            return AttributeType.TIMESTAMP
        case _:
            return AttributeType.NUMBER
