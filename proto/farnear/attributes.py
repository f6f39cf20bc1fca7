"""What can be known of an item beside its label: texts, numbers, truth values and times, by name."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import TypeAlias

AttributeValue: TypeAlias = str | float | bool | datetime
"""A text, a finite number (`int` or `float`), a truth value, or a time with a zone, to the microsecond.

True and 1 are values of different types. An answer of the service has numbers as `float` and times in UTC.
"""

Attributes: TypeAlias = Mapping[str, AttributeValue]

_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


class AttributeType(StrEnum):
    """What kind of values an attribute has."""

    STRING = "string"
    NUMBER = "number"
    BOOL = "bool"
    TIMESTAMP = "timestamp"


def check_value(field: str, value: AttributeValue) -> AttributeType:
    """The type of a value that can be sent.

    Raises:
        TypeError: If it is no str, int, float, bool or datetime.
        ValueError: If it is a text that UTF-8 cannot hold, a number that is not finite or that no double equals, or a
            time without a zone.
    """
    match value:
        case str():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                raise ValueError(f"{field}: {value!r} is not UTF-8") from error
            return AttributeType.STRING
        case bool():  # before numbers, among which Python counts it
            return AttributeType.BOOL
        case int() | float():
            if not _is_double(value):
                raise ValueError(f"{field}: {value} is no finite number that a double equals; text can hold it")
            return AttributeType.NUMBER
        case datetime():
            if value.utcoffset() is None:
                raise ValueError(f"{field}: {value} has no time zone; give it one, such as tzinfo=UTC")
            return AttributeType.TIMESTAMP
    raise TypeError(f"{field}: a value is a str, number, bool or datetime, not {type(value).__name__}")


def read_number(text: str) -> float:
    """Reads a decimal number; where it is written as an integer, as one.

    Raises:
        ValueError: If it is none.
    """
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"{text!r} is no number; allowed are such as 3, -0.5 and 1e-3")
    return int(text) if text.lstrip("+-").isdigit() else float(text)


def read_time(text: str) -> datetime:
    """Reads a time as ISO 8601 writes it; a date alone is its beginning in UTC.

    Raises:
        ValueError: If it is none, has no zone, or lies outside of the years 1 to 9999.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError:
        pass
    else:
        return datetime(day.year, day.month, day.day, tzinfo=UTC)
    try:
        time = datetime.fromisoformat(text)
        if time.tzinfo is not None:
            return time.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r} is no time; allowed are such as 2026-11-22 and 2026-11-22T10:00Z") from error
    raise ValueError(f"{text!r} has no time zone; allowed are such as 2026-11-22T10:00Z and 2026-11-22T10:00+01:00")


def _is_double(number: float) -> bool:
    try:
        return math.isfinite(number) and float(number) == number
    except OverflowError:
        return False
