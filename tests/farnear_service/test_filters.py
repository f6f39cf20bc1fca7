import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from farnear_service.columns import Columns
from farnear_service.errors import InvalidError
from farnear_service.filters import (
    ABSENT,
    All,
    AnyOf,
    Equals,
    Exists,
    Filter,
    Negation,
    OneOf,
    Range,
    check,
    check_attributes,
    check_schema,
    matching,
    mentions,
)
from farnear_service.types import Attributes, AttributeType, AttributeValue, Schema
from hypothesis import given
from hypothesis import strategies as st

SCHEMA: Schema = {
    "site": AttributeType.STRING,
    "width": AttributeType.NUMBER,
    "wet": AttributeType.BOOL,
    "taken": AttributeType.TIMESTAMP,
    "unused": AttributeType.NUMBER,
}
DAY = datetime(2026, 11, 22, tzinfo=UTC)
ALL_FIELDS = "item_id, label, cluster, create_time, site, taken, unused, wet, width"

strings = st.sampled_from(
    ["", "a", "ab", "b", "\u00e4", "\uff5e", "\U0001f600"]
)  # the last two change places in UTF-16
numbers = st.sampled_from([-2.0, -1.0, -0.0, 0.0, 0.5, 1.0, 1e300, -1e300])
times = st.integers(-2, 2).map(lambda days: DAY + timedelta(days=days))
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "item_id": strings,
    "label": strings,
    "cluster": numbers,
    "create_time": times,
    "site": strings,
    "width": numbers,
    "wet": st.booleans(),
    "taken": times,
    "unused": numbers,
}
SIDES = (("above", "at_least"), ("below", "at_most"))


@st.composite
def conditions(draw: st.DrawFn) -> Filter:
    kind = draw(st.sampled_from(["equals", "one_of", "range", "exists"]))
    field = draw(st.sampled_from([name for name in VALUES if kind != "range" or name != "wet"]))
    match kind:
        case "equals":
            return Equals(field, draw(VALUES[field]))
        case "one_of":
            return OneOf(field, tuple(draw(st.lists(VALUES[field], min_size=1, max_size=20))))
        case "range":
            sides = draw(st.sampled_from([(0,), (1,), (0, 1)]))
            return Range(field=field, **{draw(st.sampled_from(SIDES[side])): draw(VALUES[field]) for side in sides})
        case _:
            return Exists(field)


filters = st.recursive(
    conditions(),
    lambda parts: (
        st.lists(parts, min_size=1, max_size=3).map(lambda some: All(tuple(some)))
        | st.lists(parts, min_size=1, max_size=3).map(lambda some: AnyOf(tuple(some)))
        | parts.map(Negation)
    ),
    max_leaves=6,
)
rows = st.fixed_dictionaries(
    {"label": strings, "create_time": times},
    optional={name: VALUES[name] for name in ("site", "width", "wet", "taken")} | {"cluster": st.integers(-1, 1)},
)


def holds(filter: Filter, row: dict[str, Any]) -> bool:
    match filter:
        case All(parts):
            return all(holds(part, row) for part in parts)
        case AnyOf(parts):
            return any(holds(part, row) for part in parts)
        case Negation(part):
            return not holds(part, row)
    if filter.field not in row:
        return False
    value = row[filter.field]
    match filter:
        case Equals(_, wanted):
            return bool(value == wanted)
        case OneOf(_, several):
            return value in several
        case Range():
            tests: list[tuple[Any, Callable[[Any, Any], bool]]] = [
                (filter.above, lambda a, b: a > b),
                (filter.at_least, lambda a, b: a >= b),
                (filter.below, lambda a, b: a < b),
                (filter.at_most, lambda a, b: a <= b),
            ]
            return all(test(comparable(value), comparable(bound)) for bound, test in tests if bound is not None)
        case _:
            return True


def comparable(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


@given(filter=filters, items=st.lists(rows, max_size=12), on_map=st.booleans())
def test_what_matches_is_what_plain_python_finds(filter: Filter, items: list[dict[str, Any]], on_map: bool) -> None:
    ids = ["a", "ab", "b", "ba", "\u00e4", "\uff5e", "\U0001f600", "x" * 9, "x" * 16, "x" * 17, "y", "z"]
    items = [{**item, "item_id": item_id} for item, item_id in zip(items, ids, strict=False)]
    clusters = np.array([item.get("cluster", ABSENT) for item in items], np.int32)
    if not on_map:
        items = [{name: value for name, value in item.items() if name != "cluster"} for item in items]
    columns = Columns()
    columns.append(
        [item["item_id"] for item in items],
        [item["label"] for item in items],
        [item["create_time"].timestamp() for item in items],
        [{name: item[name] for name in SCHEMA if name in item} for item in items],
    )
    check(filter, SCHEMA)
    mask = matching(filter, columns.now(), clusters if on_map else None)
    assert mask.dtype == np.bool_
    assert mask.tolist() == [holds(filter, item) for item in items]


def test_the_mark_of_an_item_without_a_cluster_is_no_cluster() -> None:
    columns = Columns()
    columns.append(["a", "b"], ["", ""], [0.0] * 2, [{}, {}])
    clusters = np.array([ABSENT, -1], np.int32)
    for condition in (Equals("cluster", float(ABSENT)), OneOf("cluster", (float(ABSENT),))):
        assert matching(condition, columns.now(), clusters).tolist() == [False, False]
        assert matching(Negation(condition), columns.now(), clusters).tolist() == [True, True]
    assert matching(OneOf("cluster", (float(ABSENT), -1.0)), columns.now(), clusters).tolist() == [False, True]


def test_an_item_that_lacks_a_field_matches_its_negation_only() -> None:
    columns = Columns()
    columns.append(["a", "b", "c"], ["", "", ""], [0.0] * 3, [{"width": 1.0}, {}, {"width": 2.0}])
    view = columns.now()
    for condition in (Range(field="width", below=9.0), Exists("width"), OneOf("width", (1.0, 2.0))):
        assert matching(condition, view, None).tolist() == [True, False, True]
        assert matching(Negation(condition), view, None).tolist() == [False, True, False]
    assert matching(Exists("cluster"), view, None).tolist() == [False] * 3
    assert matching(Exists("unused"), view, None).tolist() == [False] * 3


def test_an_empty_label_is_a_value() -> None:
    columns = Columns()
    columns.append(["a", "b"], ["", "crack"], [0.0] * 2, [{}, {}])
    assert matching(Equals("label", ""), columns.now(), None).tolist() == [True, False]
    assert matching(Exists("label"), columns.now(), None).tolist() == [True, True]


def test_noise_is_a_cluster_and_what_is_not_on_the_map_has_none() -> None:
    columns = Columns()
    columns.append(["a", "b", "c"], [""] * 3, [0.0] * 3, [{}] * 3)
    clusters = np.array([-1, ABSENT, 0], np.int32)
    assert matching(Equals("cluster", -1.0), columns.now(), clusters).tolist() == [True, False, False]
    assert matching(Range(field="cluster", at_most=0.0), columns.now(), clusters).tolist() == [True, False, True]
    assert matching(Equals("cluster", 0.5), columns.now(), clusters).tolist() == [False] * 3


def test_times_are_compared_across_zones() -> None:
    columns = Columns()
    columns.append(["a"], [""], [0.0], [{"taken": DAY}])
    tokyo = DAY.astimezone(timezone(timedelta(hours=9)))
    assert matching(Equals("taken", tokyo), columns.now(), None).tolist() == [True]
    assert matching(Range(field="taken", above=tokyo), columns.now(), None).tolist() == [False]


def test_mentions() -> None:
    filter = All((Equals("label", "a"), Negation(AnyOf((Exists("cluster"), Exists("width"))))))
    assert [mentions(filter, field) for field in ("label", "cluster", "width", "site")] == [True, True, True, False]


def nested(levels: int) -> Filter:
    filter: Filter = Exists("width")
    for _ in range(levels - 1):
        filter = Negation(filter)
    return filter


@pytest.mark.parametrize(
    "filter",
    [
        nested(8),
        All(tuple(Exists("width") for _ in range(100))),
        OneOf("width", tuple(float(value) for value in range(1000))),
        Range(field="label", above="a", at_most="b"),
        Equals("cluster", 3.0),
        Equals("wet", False),
        Exists("item_id"),
    ],
)
def test_what_the_contract_allows_passes(filter: Filter) -> None:
    check(filter, SCHEMA)


@pytest.mark.parametrize(
    ("filter", "message"),
    [
        (Equals("colour", "red"), f"filter.equals.field: is 'colour'; allowed are {ALL_FIELDS}"),
        (Exists(""), f"filter.exists.field: is ''; allowed are {ALL_FIELDS}"),
        (Equals("width", "3"), "filter.equals.value: is a string; allowed is a number, as the field is"),
        (Equals("width", True), "filter.equals.value: is a bool; allowed is a number, as the field is"),
        (Equals("wet", 1.0), "filter.equals.value: is a number; allowed is a bool, as the field is"),
        (Equals("taken", 1.0), "filter.equals.value: is a number; allowed is a timestamp, as the field is"),
        (Equals("label", DAY), "filter.equals.value: is a timestamp; allowed is a string, as the field is"),
        (OneOf("cluster", (1.0, "2")), "filter.one_of.values[1]: is a string; allowed is a number, as the field is"),
        (OneOf("width", ()), "filter.one_of.values: has 0 entries; allowed are 1 to 1000"),
        (OneOf("width", (1.0,) * 1001), "filter.one_of.values: has 1001 entries; allowed are 1 to 1000"),
        (Equals("width", math.nan), "filter.equals.value: is nan; allowed are finite numbers"),
        (Range(field="width", above=-math.inf), "filter.range.above: is -inf; allowed are finite numbers"),
        (Range(field="width", below="a"), "filter.range.below: is a string; allowed is a number, as the field is"),
        (Range(field="width"), "filter.range: has no bound; allowed are one or two of above, at_least, below, at_most"),
        (
            Range(field="width", above=1.0, at_least=1.0),
            "filter.range: has both above and at_least; allowed is one of them",
        ),
        (
            Range(field="width", below=1.0, at_most=1.0),
            "filter.range: has both below and at_most; allowed is one of them",
        ),
        (
            Range(field="wet", below=True),
            "filter.range.field: is 'wet', a bool; allowed are numbers, timestamps and strings",
        ),
        (Equals("taken", DAY.replace(tzinfo=None)), "filter.equals.value: is 2026-11-22 00:00:00 without a zone"),
        (Equals("site", "a\0"), "filter.equals.value: 'a\\x00' has control characters"),
        (Equals("site", "a" * 513), "filter.equals.value: has 513 bytes; allowed are at most 512"),
        (All(()), "filter.all.filters: is empty; allowed are 1 filter or more"),
        (
            AnyOf((Exists("width"), Negation(All((Exists("x"),))))),
            "filter.any.filters[1].negation.all.filters[0].exists.field: is 'x'",
        ),
        (AnyOf((AnyOf(()),)), "filter.any.filters[0].any.filters: is empty"),
        (nested(9), "filter: has more than 8 levels"),
        (All(tuple(Exists("width") for _ in range(101))), "filter: has more than 100 conditions"),
    ],
)
def test_what_the_contract_forbids_is_refused_by_name(filter: Filter, message: str) -> None:
    with pytest.raises(InvalidError) as refused:
        check(filter, SCHEMA)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize("name", ["a", "Width_2.b-c", "z" * 64])
def test_names_that_are_allowed(name: str) -> None:
    check_schema({name: AttributeType.BOOL})
    assert check_attributes({name: True}, {}) == {name: AttributeType.BOOL}


@pytest.mark.parametrize(
    "name", ["", "2a", "_a", "a b", "a\n", "\u00e4", "z" * 65, "item_id", "label", "cluster", "create_time"]
)
def test_names_that_are_not(name: str) -> None:
    for refuse in (lambda: check_schema({name: AttributeType.BOOL}), lambda: check_attributes({name: True}, {})):
        with pytest.raises(InvalidError, match=r"^attributes: has the name .* starting with a letter, and none of"):
            refuse()


def test_at_most_64_attributes() -> None:
    full: Schema = {f"a{number}": AttributeType.NUMBER for number in range(64)}
    check_schema(full)
    assert check_attributes({"a5": 1.0}, full) is full
    with pytest.raises(InvalidError, match=r"^attributes: are 65 in the collection; allowed are at most 64$"):
        check_attributes({"b": 1.0}, full)


def test_new_attributes_join_the_schema_with_their_types() -> None:
    attributes: Attributes = {"width": 1.0, "new": "a", "on": False, "seen": DAY}
    before = dict(SCHEMA)
    assert check_attributes(attributes, SCHEMA) == {
        **SCHEMA,
        "new": AttributeType.STRING,
        "on": AttributeType.BOOL,
        "seen": AttributeType.TIMESTAMP,
    }
    assert before == SCHEMA
    assert check_attributes({"width": -0.0, "site": "", "wet": True, "taken": DAY}, SCHEMA) is SCHEMA
    assert check_attributes({}, SCHEMA) is SCHEMA


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("width", True, "attributes['width']: is a bool; allowed is a number, as the field is"),
        ("width", math.inf, "attributes['width']: is inf; allowed are finite numbers"),
        ("new", math.nan, "attributes['new']: is nan; allowed are finite numbers"),
        ("site", 1.0, "attributes['site']: is a number; allowed is a string, as the field is"),
        ("site", "a\tb", "attributes['site']: 'a\\tb' has control characters; allowed is text without them"),
        ("wet", "yes", "attributes['wet']: is a string; allowed is a bool, as the field is"),
        (
            "taken",
            DAY.replace(tzinfo=None),
            "attributes['taken']: is 2026-11-22 00:00:00 without a zone; allowed are times with a zone",
        ),
        (
            "taken",
            datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))),
            "attributes['taken']: is 9999-12-31 23:59:59.999999-01:00; allowed are the years 1 to 9999 in UTC",
        ),
    ],
)
def test_values_that_are_refused(name: str, value: AttributeValue, message: str) -> None:
    with pytest.raises(InvalidError) as refused:
        check_attributes({name: value}, SCHEMA)
    assert str(refused.value) == message
