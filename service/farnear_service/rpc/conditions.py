"""The filters of the contract to those of the service."""

from farnear.v1 import filters_pb2, items_pb2, recommend_pb2, search_pb2

from farnear_service import filters
from farnear_service.errors import InvalidError
from farnear_service.rpc.wire import attribute

_Filtered = (
    items_pb2.ListItemsRequest | items_pb2.CountItemsRequest | search_pb2.SearchRequest | recommend_pb2.RecommendRequest
)


def where(request: _Filtered) -> filters.Filter | None:
    """The filter of a request that has one; None for all items."""
    return _filter("filter", request.filter) if request.HasField("filter") else None


def _filter(path: str, message: filters_pb2.Filter) -> filters.Filter:
    kind = message.WhichOneof("kind")
    path = f"{path}.{kind}"
    match kind:
        case "all":
            return filters.All(parts=_filters(path, message.all))
        case "any":
            return filters.AnyOf(parts=_filters(path, message.any))
        case "negation":
            return filters.Negation(part=_filter(path, message.negation))
        case "equals":
            return filters.Equals(field=message.equals.field, value=attribute(f"{path}.value", message.equals.value))
        case "one_of":
            return filters.OneOf(
                field=message.one_of.field,
                values=tuple(attribute(f"{path}.values", value) for value in message.one_of.values),
            )
        case "range":
            bounds = {
                name: attribute(f"{path}.{name}", getattr(message.range, name))
                for name in ("above", "at_least", "below", "at_most")
                if message.range.HasField(name)
            }
            return filters.Range(field=message.range.field, **bounds)
        case "exists":
            return filters.Exists(field=message.exists.field)
        case _:
            raise InvalidError(f"{path.removesuffix('.None')}: has a condition that is not set")


def _filters(path: str, message: filters_pb2.FilterList) -> tuple[filters.Filter, ...]:
    return tuple(_filter(f"{path}.filters[{number}]", part) for number, part in enumerate(message.filters))
