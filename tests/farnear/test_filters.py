import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from farnear.attributes import AttributeValue
from farnear.filters import parse, to_filter
from farnear.v1 import types_pb2
from farnear.v1.filters_pb2 import FieldEquals, FieldExists, FieldOneOf, FieldRange, Filter, FilterList
from google.protobuf.timestamp_pb2 import Timestamp


def message(value: AttributeValue) -> types_pb2.AttributeValue:
    match value:
        case bool():
            return types_pb2.AttributeValue(bool_value=value)
        case str():
            return types_pb2.AttributeValue(string_value=value)
        case datetime():
            return types_pb2.AttributeValue(timestamp_value=Timestamp(seconds=int(value.timestamp())))
    return types_pb2.AttributeValue(number_value=value)


def equals(field: str, value: AttributeValue) -> Filter:
    return Filter(equals=FieldEquals(field=field, value=message(value)))


def one_of(field: str, values: Sequence[AttributeValue]) -> Filter:
    return Filter(one_of=FieldOneOf(field=field, values=[message(value) for value in values]))


def exists(field: str) -> Filter:
    return Filter(exists=FieldExists(field=field))


def negation(inner: Filter) -> Filter:
    return Filter(negation=inner)


def every(*parts: Filter) -> Filter:
    return Filter(all=FilterList(filters=parts))


def some(*parts: Filter) -> Filter:
    return Filter(any=FilterList(filters=parts))


A, B, C, D = (equals(name, 1) for name in "abcd")
MORNING = datetime(2026, 11, 22, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-0.5", -0.5),
        ("+1e3", 1000),
        (".5", 0.5),
        ("'crack'", "crack"),
        ('"Bob\'s"', "Bob's"),
        ("'Bob''s'", "Bob's"),
        ('"say ""hi"""', 'say "hi"'),
        ("''", ""),
        ("'a and b'", "a and b"),
        ("'3'", "3"),
        ("'true'", "true"),
        ("'Riß 🧱'", "Riß 🧱"),
        ("true", True),
        ("FALSE", False),
        ("@2026-11-22", datetime(2026, 11, 22, tzinfo=UTC)),
        ("@2026-11-22T10:00Z", MORNING),
        ("@2026-11-22T11:00:00+01:00", MORNING),
    ],
)
def test_values(text: str, value: AttributeValue) -> None:
    assert parse(f"x = {text}") == equals("x", value)
    assert parse(f"x={text}") == equals("x", value)


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        ("x < 3", {"below": message(3)}),
        ("x <= 3", {"at_most": message(3)}),
        ("x > 3", {"above": message(3)}),
        ("x >= 3", {"at_least": message(3)}),
        ("x>='m'", {"at_least": message("m")}),
        ("x<-1", {"below": message(-1)}),
    ],
)
def test_ranges(text: str, bounds: dict[str, types_pb2.AttributeValue]) -> None:
    assert parse(text) == Filter(range=FieldRange(field="x", **bounds))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x == 3", equals("x", 3)),
        ("x in (3)", one_of("x", [3])),
        ("label in ('crack', \"rust\")", one_of("label", ["crack", "rust"])),
        ("exists(reviewed)", exists("reviewed")),
        ("exists ( reviewed )", exists("reviewed")),
        ("cluster = -1", equals("cluster", -1)),
        ("crack-width.mm_2 = 1", equals("crack-width.mm_2", 1)),
    ],
)
def test_conditions(text: str, expected: Filter) -> None:
    assert parse(text) == expected


def test_what_lacks_a_field_is_not_unequal() -> None:
    assert parse("x != 3") == every(exists("x"), negation(equals("x", 3)))
    assert parse("x not in (3, 4)") == every(exists("x"), negation(one_of("x", [3, 4])))
    assert parse("not x = 3") == negation(equals("x", 3))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=1 and b=1", every(A, B)),
        ("a=1 or b=1", some(A, B)),
        ("a=1 or b=1 and c=1", some(A, every(B, C))),
        ("(a=1 or b=1) and c=1", every(some(A, B), C)),
        ("not a=1 and b=1", every(negation(A), B)),
        ("not (a=1 and b=1)", negation(every(A, B))),
        ("not not a=1", negation(negation(A))),
        ("a=1 AND b=1 Or NOT c=1", some(every(A, B), negation(C))),
        ("a=1 and b=1 and c=1 and d=1", every(A, B, C, D)),
        ("a=1 and (b=1 and (c=1 and d=1))", every(A, B, C, D)),
        ("(a=1 or b=1) or (c=1 or d=1)", some(A, B, C, D)),
        ("a=1 and x != 3", every(A, exists("x"), negation(equals("x", 3)))),
        ("((a=1))", A),
        ("  a\n=\t1  ", A),
    ],
)
def test_words_bind_as_they_do_in_sql_and_make_no_more_levels_than_they_must(text: str, expected: Filter) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize("name", ["and", "or", "not", "in", "exists", "true", "AND", "e1", "label"])
def test_a_field_may_be_called_like_a_word_of_the_grammar(name: str) -> None:
    assert parse(f"{name} = 3") == equals(name, 3)
    assert parse(f"{name} in (3) and {name} not in (4)") == every(
        one_of(name, [3]), exists(name), negation(one_of(name, [4]))
    )
    assert parse(f"not exists({name})") == negation(exists(name))


def test_values_can_be_handed_over_beside_the_text() -> None:
    found = parse(
        "label = :label and taken >= :taken and severity in :levels and kind in (:kind, 'x') and reviewed = :yes",
        label='Bob\'s "best"',
        taken=MORNING,
        levels=(3, 4),
        kind="y",
        yes=True,
    )
    assert found == every(
        equals("label", 'Bob\'s "best"'),
        Filter(range=FieldRange(field="taken", at_least=message(MORNING))),
        one_of("severity", [3, 4]),
        one_of("kind", ["y", "x"]),
        equals("reviewed", True),
    )
    assert parse("a = :x or b = :x", x=1) == some(A, B)


WRONG: list[tuple[str, str]] = [
    ("", "column 1: expected a condition, such as severity >= 3, found the end"),
    ("severity", "column 9: expected a comparison (=, !=, <, <=, >, >=, in, not in), found the end"),
    ("severity 3", "column 10: expected a comparison (=, !=, <, <=, >, >=, in, not in), found '3'"),
    ("severity >= ", "column 13: expected a value, such as 3, 'text', true or @2026-11-22, found the end"),
    ("severity >= high", "column 13: expected a value, such as 3, 'text', true or @2026-11-22, found 'high'"),
    ("3 = severity", "column 1: expected a condition, such as severity >= 3, found '3'"),
    ("x = 3 y = 4", "column 7: expected and, or, or the end, found 'y'"),
    ("x = 3)", "column 6: expected and, or, or the end, found ')'"),
    ("(x = 3", "column 7: expected and, or, or ')', found the end"),
    ("x = 3 and", "column 10: expected a condition, such as severity >= 3, found the end"),
    ("x = 3px", "column 6: expected and, or, or the end, found 'px'"),
    ("x in 3", "column 6: expected '(' or a :name, found '3'"),
    ("x in ()", "column 7: expected a value, such as 3, 'text', true or @2026-11-22, found ')'"),
    ("x in (3", "column 8: expected ',' or ')', found the end"),
    ("x not 3", "column 3: expected a comparison (=, !=, <, <=, >, >=, in, not in), found 'not'"),
    ("exists x", "column 8: expected '(', found 'x'"),
    ("exists(3)", "column 8: expected a field, found '3'"),
    ("exists(x", "column 9: expected ')', found the end"),
    ("label = 'crack", "column 9: a text without its closing quote"),
    ("label = crack'", "column 14: a text without its closing quote"),
    ("x & y", "column 3: '&' stands for nothing"),
    ("x ! 3", "column 3: '!' stands for nothing"),
    ("taken > @2026-13-01", "column 9: '2026-13-01' is no time; allowed are such as 2026-11-22 and 2026-11-22T10:00Z"),
    ("taken > @2026-11-22T10:00", "column 9: '2026-11-22T10:00' has no time zone"),
    ("x = 9007199254740993", "column 5: 9007199254740993 is no finite number that a double equals"),
    ("x = 1e999", "column 5: inf is no finite number"),
    ("x = :y", "column 5: no value is given for :y"),
    ("(" * 51 + "x = 3", "column 51: nested deeper than 50 levels"),
    ("not " * 60 + "x = 3", "column 201: nested deeper than 50 levels"),
]


@pytest.mark.parametrize(("text", "complaint"), WRONG, ids=[text[:20] for text, _ in WRONG])
def test_what_is_wrong_is_told_with_its_column(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(complaint)}"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "values", "complaint"),
    [
        ("a = 1", {"x": 3, "b": 4}, "the filter has no :b, :x"),
        ("a = :x", {"x": datetime(2026, 11, 22)}, "column 5: 2026-11-22 00:00:00 has no time zone"),
        ("a in :x", {"x": [1, 2**53 + 1]}, "column 6: 9007199254740993 is no finite number"),
    ],
)
def test_values_that_cannot_be_are_refused(text: str, values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse(text, **values)


@pytest.mark.parametrize(
    ("text", "value", "complaint"),
    [
        ("a = :x", [1], "column 5: a value is a str, number, bool or datetime, not list"),
        ("a in :x", 1, "column 6: behind in, :x is a list of values, not 1"),
        ("a in :x", "abc", "column 6: behind in, :x is a list of values, not 'abc'"),
    ],
)
def test_values_of_another_type_are_refused(text: str, value: Any, complaint: str) -> None:
    with pytest.raises(TypeError, match=complaint):
        parse(text, x=value)


def test_a_filter_is_a_text_or_what_parse_returned() -> None:
    assert to_filter(None) is None
    assert to_filter("a = 1") == A
    assert to_filter(A) is A
