"""Queries: an image, a stored item, or a vector."""

from farnear.inputs import ItemId, Query, Vector
from farnear.v1 import types_pb2


def to_query(query: Query) -> types_pb2.Query:
    """Writes a query.

    Raises:
        TypeError: If it is neither bytes nor `ItemId` nor `Vector`.
    """
    match query:
        case bytes():
            return types_pb2.Query(image=query)
        case ItemId():
            return types_pb2.Query(item_id=query.value)
        case Vector():
            return types_pb2.Query(vector=types_pb2.Vector(values=query.values, bundle_digest=query.bundle_digest))
    raise TypeError(f"a query is bytes (an encoded image), an ItemId or a Vector, not {type(query).__name__}")
