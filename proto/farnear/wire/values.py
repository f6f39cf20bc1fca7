"""Values: attributes, times, and the errors of single entries."""

from collections.abc import Mapping
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from farnear.attributes import Attributes, AttributeType, AttributeValue
from farnear.errors import FarnearError, error_for
from farnear.v1 import types_pb2

_TYPES = {
    AttributeType.STRING: types_pb2.ATTRIBUTE_TYPE_STRING,
    AttributeType.NUMBER: types_pb2.ATTRIBUTE_TYPE_NUMBER,
    AttributeType.BOOL: types_pb2.ATTRIBUTE_TYPE_BOOL,
    AttributeType.TIMESTAMP: types_pb2.ATTRIBUTE_TYPE_TIMESTAMP,
}
_TYPE_NAMES = {number: kind for kind, number in _TYPES.items()}


def to_value(value: AttributeValue) -> types_pb2.AttributeValue:
    """Writes a value that `check_value` passed."""
    match value:
        case bool():  # before numbers, among which Python counts it
            return types_pb2.AttributeValue(bool_value=value)
        case str():
            return types_pb2.AttributeValue(string_value=value)
        case datetime():
            return types_pb2.AttributeValue(timestamp_value=to_timestamp(value))
        case _:
            return types_pb2.AttributeValue(number_value=value)


def to_attributes(attributes: Attributes) -> dict[str, types_pb2.AttributeValue]:
    """Writes the attributes of an item."""
    return {name: to_value(value) for name, value in attributes.items()}


def to_types(types: Mapping[str, AttributeType]) -> "dict[str, types_pb2.AttributeType.ValueType]":
    """Writes the types of attributes.

    Raises:
        ValueError: If one is no type.
    """
    return {name: _TYPES[AttributeType(kind)] for name, kind in types.items()}


def to_timestamp(time: datetime) -> Timestamp:
    """Writes a time that has a zone."""
    timestamp = Timestamp()
    timestamp.FromDatetime(time)
    return timestamp


def read_attributes(messages: Mapping[str, types_pb2.AttributeValue]) -> dict[str, AttributeValue]:
    """Reads the attributes of an item, in order of their names, as the contract has none."""
    return {name: read_value(messages[name]) for name in sorted(messages)}


def read_types(types: "Mapping[str, types_pb2.AttributeType.ValueType]") -> dict[str, AttributeType]:
    """Reads the types of attributes, in order of their names."""
    return {name: _TYPE_NAMES[types[name]] for name in sorted(types)}


def read_time(timestamp: Timestamp) -> datetime:
    """Reads a time, in UTC and cut to the microsecond."""
    return timestamp.ToDatetime(tzinfo=UTC)


def read_error(message: types_pb2.ItemError) -> FarnearError:
    """Reads why one entry of a batch was refused."""
    return error_for(message.code, message.message)


def read_value(message: types_pb2.AttributeValue) -> AttributeValue:
    """Reads the value of an attribute."""
    match message.WhichOneof("kind"):
        case "string_value":
            return message.string_value
        case "bool_value":
            return message.bool_value
        case "timestamp_value":
            return read_time(message.timestamp_value)
        case _:
            return message.number_value
