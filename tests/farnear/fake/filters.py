"""The plain reading of a filter, item by item."""

from typing import Any

import grpc
from farnear.v1 import filters_pb2, types_pb2

from tests.farnear.fake.base import StoredCollection, StoredItem, made


def matching(stored: StoredCollection, request: Any, context: grpc.ServicerContext) -> list[str]:
    """The ids of the items that match the request's filter, in order."""
    if not request.HasField("filter"):
        return sorted(stored.items)
    try:
        return [name for name in sorted(stored.items) if _matches(request.filter, name, stored.items[name])]
    except TypeError as error:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"filter: {error}")
        raise


def _matches(message: filters_pb2.Filter, item_id: str, item: StoredItem) -> bool:
    kind = message.WhichOneof("kind")
    match kind:
        case "all":
            return all([_matches(part, item_id, item) for part in message.all.filters])
        case "any":
            return any([_matches(part, item_id, item) for part in message.any.filters])
        case "negation":
            return not _matches(message.negation, item_id, item)
    condition = getattr(message, str(kind))
    value = _field(condition.field, item_id, item)
    if value is None:
        return False
    match kind:
        case "exists":
            return True
        case "equals":
            return value == _value(condition.value)
        case "one_of":
            return value in [_value(entry) for entry in condition.values]
    bounds = {name: _value(getattr(condition, name)) for name in _COMPARISONS if condition.HasField(name)}
    assert bounds
    return all(_COMPARISONS[name](value, bound) for name, bound in bounds.items())


_COMPARISONS: dict[str, Any] = {
    "above": lambda value, bound: value > bound,
    "at_least": lambda value, bound: value >= bound,
    "below": lambda value, bound: value < bound,
    "at_most": lambda value, bound: value <= bound,
}


def _field(name: str, item_id: str, item: StoredItem) -> Any:
    match name:
        case "item_id":
            return item_id
        case "label":
            return item.label
        case "cluster":
            return item.cluster
        case "create_time":
            return made().ToNanoseconds()
    return _value(item.attributes[name]) if name in item.attributes else None


def _value(message: types_pb2.AttributeValue) -> Any:
    kind = message.WhichOneof("kind")
    assert kind is not None
    value = getattr(message, kind)
    return value.ToNanoseconds() if kind == "timestamp_value" else value
