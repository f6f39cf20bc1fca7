"""Attributes and schemas as JSON text.

Every type has a form of its own, so that a row can be read without the schema: a string is a JSON string, a bool `true`
or `false`, a number has a fraction or an exponent (`3.0`), and an integer is a timestamp in microseconds since 1970.
"""

import json
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from farnear_service.types import Attributes, AttributeType, AttributeValue, Schema

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NONE: Attributes = MappingProxyType({})


def dump_attributes(attributes: Attributes) -> str | None:
    """The attributes of one item; None where it has none."""
    if not attributes:
        return None
    return json.dumps({name: _dump(value) for name, value in attributes.items()}, ensure_ascii=False)


def load_attributes(text: str | None) -> Attributes:
    """What `dump_attributes` wrote; timestamps come in UTC."""
    if text is None:
        return _NONE
    return {name: _load(value) for name, value in json.loads(text).items()}


def dump_schema(schema: Schema) -> str:
    """The types of a collection's attributes."""
    return json.dumps({name: kind.value for name, kind in schema.items()}, ensure_ascii=False)


def load_schema(text: str) -> Schema:
    """What `dump_schema` wrote."""
    return {name: AttributeType(kind) for name, kind in json.loads(text).items()}


def _dump(value: AttributeValue) -> str | float | bool | int:
    if isinstance(value, datetime):
        return (value - _EPOCH) // _MICROSECOND
    if isinstance(value, bool | str):
        return value
    return float(value)


def _load(value: str | float | bool | int) -> AttributeValue:
    if isinstance(value, int) and not isinstance(value, bool):
        return _EPOCH + timedelta(microseconds=value)
    return value
