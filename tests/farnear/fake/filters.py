"""The plain reading of a filter, item by item."""

import operator
from typing import Any

import grpc
from farnear.v1 import filters_pb2, types_pb2

from tests.farnear.fake.base import StoredCollection, StoredItem, made

_COMPARISONS = {
    "above": operator.gt,
    "at_least": operator.ge,
    "below": operator.lt,
    "at_most": operator.le,
}


def matching(stored: StoredCollection, request: Any, context: grpc.ServicerContext) -> list[str]:
    """The ids of the items that match the request's filter, in order."""
    if not request.HasField("filter"):
        return sorted(stored.items)
    try:
        return [name for name in sorted(stored.items) if _matches(request.filter, name, stored.items[name], stored)]
    except TypeError as error:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"filter: {error}")


def _matches(message: filters_pb2.Filter, item_id: str, item: StoredItem, stored: StoredCollection) -> bool:
    kind = str(message.WhichOneof("kind"))
    match kind:
        case "all":
            return all(_matches(part, item_id, item, stored) for part in message.all.filters)
        case "any":
            return any(_matches(part, item_id, item, stored) for part in message.any.filters)
        case "negation":
            return not _matches(message.negation, item_id, item, stored)
    condition = getattr(message, kind)
    value = _field(condition.field, item_id, item, stored)
    if value is None:
        return False
    match kind:
        case "exists":
            return True
        case "equals":
            return _compare(operator.eq, value, condition.value)
        case "one_of":
            return any(_compare(operator.eq, value, entry) for entry in condition.values)
    bounds = {name: getattr(condition, name) for name in _COMPARISONS if condition.HasField(name)}
    assert bounds
    return all(_compare(_COMPARISONS[name], value, bound) for name, bound in bounds.items())


def _compare(comparison: Any, value: Any, message: types_pb2.AttributeValue) -> bool:
    other = _value(message)
    if type(value) is not type(other):
        raise TypeError(f"{other!r} is of another type than the field")
    return bool(comparison(value, other))


def _field(name: str, item_id: str, item: StoredItem, stored: StoredCollection) -> Any:
    match name:
        case "item_id":
            return item_id
        case "label":
            return item.label
        case "cluster":
            return None if item.cluster is None else float(item.cluster)
        case "create_time":
            return made().ToNanoseconds()
    if name not in stored.attributes:
        raise TypeError(f"{name!r} is no field")
    return _value(item.attributes[name]) if name in item.attributes else None


def _value(message: types_pb2.AttributeValue) -> Any:
    kind = str(message.WhichOneof("kind"))
    value = getattr(message, kind)
    return value.ToNanoseconds() if kind == "timestamp_value" else value
