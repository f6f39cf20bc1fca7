import math
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from farnear.attributes import AttributeType, check_value, read_number, read_time

CET = timezone(timedelta(hours=1))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("", AttributeType.STRING),
        ("Riß", AttributeType.STRING),
        (True, AttributeType.BOOL),
        (False, AttributeType.BOOL),
        (1, AttributeType.NUMBER),
        (-0.5, AttributeType.NUMBER),
        (2**53, AttributeType.NUMBER),
        (2**60, AttributeType.NUMBER),
        (np.float64(0.5), AttributeType.NUMBER),
        (datetime(2026, 11, 22, tzinfo=UTC), AttributeType.TIMESTAMP),
    ],
)
def test_each_value_has_its_type(value: Any, kind: AttributeType) -> None:
    assert check_value("x", value) is kind


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        (2**53 + 1, "9007199254740993 is no finite number that a double equals; text can hold it"),
        (10**400, "is no finite number"),
        (math.nan, "nan is no finite number"),
        (-math.inf, "-inf is no finite number"),
        (datetime(2026, 11, 22), "2026-11-22 00:00:00 has no time zone"),
        ("\udcff", "'\\udcff' is not UTF-8"),
    ],
)
def test_what_cannot_be_sent_as_it_is_is_refused(value: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=rf"^attributes\['x'\]: .*{re.escape(complaint)}"):
        check_value("attributes['x']", value)


@pytest.mark.parametrize("value", [None, b"bytes", [1], np.float32(1), object()])
def test_another_type_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=f"x: a value is a str, number, bool or datetime, not {type(value).__name__}"):
        check_value("x", value)


@pytest.mark.parametrize(
    ("text", "number"), [("3", 3), ("-0", 0), ("+2.50", 2.5), (".5", 0.5), ("5.", 5.0), ("1e-3", 0.001), ("007", 7)]
)
def test_numbers(text: str, number: float) -> None:
    assert read_number(text) == number


@pytest.mark.parametrize("text", ["", "3px", "1_000", "1,5", "nan", "inf", "0x10", " 3", "--3", "٣"])
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(ValueError, match="is no number; allowed are such as"):
        read_number(text)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-11-22", datetime(2026, 11, 22, tzinfo=UTC)),
        ("2026-11-22T10:00Z", datetime(2026, 11, 22, 10, tzinfo=UTC)),
        ("2026-11-22 10:00:00.5+01:00", datetime(2026, 11, 22, 9, 0, 0, 500_000, tzinfo=UTC)),
    ],
)
def test_times(text: str, time: datetime) -> None:
    assert read_time(text) == time
    assert read_time(text).tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("2026-11-22T10:00", "has no time zone"),
        ("22.11.2026", "is no time"),
        ("2026-02-30", "is no time"),
        ("", "is no time"),
        ("0001-01-01T00:00+01:00", "is no time"),
    ],
)
def test_what_is_no_time(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{text!r} {complaint}; allowed are such as")):
        read_time(text)
