import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from farnear_service.store.attributes import dump_attributes, dump_schema, load_attributes, load_schema
from farnear_service.types import AttributeType, AttributeValue
from hypothesis import given
from hypothesis import strategies as st

_VALUES = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.datetimes(timezones=st.just(UTC)),
)


@given(attributes=st.dictionaries(st.sampled_from(["a", "depth", "seen.at", "Z_9"]), _VALUES))
def test_attributes_come_back_as_they_were(attributes: dict[str, AttributeValue]) -> None:
    loaded = dict(load_attributes(dump_attributes(attributes)))
    assert loaded == attributes
    assert [type(value) for value in loaded.values()] == [type(value) for value in attributes.values()]


def test_every_type_has_its_own_form() -> None:
    noon = datetime(2026, 11, 22, 13, 0, 0, 7, timezone(timedelta(hours=1)))
    text = dump_attributes({"where": "Brücke", "depth": 3.0, "wet": True, "seen": noon})
    assert text == '{"where": "Brücke", "depth": 3.0, "wet": true, "seen": 1795348800000007}'
    assert load_attributes(text)["seen"] == noon


def test_a_number_that_came_whole_stays_a_number() -> None:
    loaded = load_attributes(dump_attributes({"depth": 3, "far": 1e300, "cold": -0.0}))
    assert (repr(loaded["depth"]), repr(loaded["far"]), repr(loaded["cold"])) == ("3.0", "1e+300", "-0.0")


def test_no_attributes_are_no_text() -> None:
    assert dump_attributes({}) is None
    assert load_attributes(None) == {}


@pytest.mark.parametrize("schema", [{}, dict(zip("abcd", AttributeType, strict=True))])
def test_a_schema_comes_back_as_it_was(schema: dict[str, AttributeType]) -> None:
    text = dump_schema(schema)
    assert load_schema(text) == schema
    assert json.loads(text) == {name: kind.value for name, kind in schema.items()}
