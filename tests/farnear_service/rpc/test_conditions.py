from datetime import UTC, datetime

import pytest
from farnear.v1 import filters_pb2 as pb
from farnear.v1 import items_pb2, types_pb2
from farnear_service import filters
from farnear_service.errors import InvalidError
from farnear_service.rpc import conditions
from google.protobuf.timestamp_pb2 import Timestamp

TEXT = types_pb2.AttributeValue(string_value="x")
NUMBER = types_pb2.AttributeValue(number_value=2.5)
TRUE = types_pb2.AttributeValue(bool_value=True)
TIME = types_pb2.AttributeValue(timestamp_value=Timestamp(seconds=1, nanos=5000))


def where(message: pb.Filter) -> filters.Filter | None:
    return conditions.where(items_pb2.CountItemsRequest(collection="c", filter=message))


def test_no_filter_is_none() -> None:
    assert conditions.where(items_pb2.CountItemsRequest(collection="c")) is None


def test_every_kind() -> None:
    exists = pb.Filter(exists=pb.FieldExists(field="e"))
    assert where(exists) == filters.Exists("e")
    assert where(pb.Filter(equals=pb.FieldEquals(field="a", value=TRUE))) == filters.Equals("a", True)
    assert where(pb.Filter(one_of=pb.FieldOneOf(field="a", values=[TEXT, NUMBER]))) == filters.OneOf("a", ("x", 2.5))
    assert where(pb.Filter(range=pb.FieldRange(field="a", above=NUMBER, at_most=NUMBER))) == filters.Range(
        field="a", above=2.5, at_most=2.5
    )
    assert where(pb.Filter(range=pb.FieldRange(field="t", at_least=TIME, below=TIME))) == filters.Range(
        field="t",
        at_least=datetime(1970, 1, 1, 0, 0, 1, 5, tzinfo=UTC),
        below=datetime(1970, 1, 1, 0, 0, 1, 5, tzinfo=UTC),
    )
    both = pb.FilterList(filters=[exists, pb.Filter(negation=exists)])
    parts = (filters.Exists("e"), filters.Negation(filters.Exists("e")))
    assert where(pb.Filter(all=both)) == filters.All(parts)
    assert where(pb.Filter(any=both)) == filters.AnyOf(parts)


@pytest.mark.parametrize(
    ("message", "refusal"),
    [
        (pb.Filter(), "filter: has a condition that is not set"),
        (
            pb.Filter(all=pb.FilterList(filters=[pb.Filter(exists=pb.FieldExists(field="e")), pb.Filter()])),
            r"filter\.all\.filters\[1\]: has a condition that is not set",
        ),
        (
            pb.Filter(negation=pb.Filter(equals=pb.FieldEquals(field="a"))),
            r"filter\.negation\.equals\.value: is not set; allowed are a string, a number, a bool and a timestamp",
        ),
        (
            pb.Filter(range=pb.FieldRange(field="a", above=types_pb2.AttributeValue())),
            r"filter\.range\.above: is not set",
        ),
        (
            pb.Filter(
                equals=pb.FieldEquals(
                    field="a", value=types_pb2.AttributeValue(timestamp_value=Timestamp(seconds=10**12))
                )
            ),
            r"filter\.equals\.value: is no timestamp of the years 1 to 9999",
        ),
    ],
)
def test_what_is_not_set_is_told_with_its_place(message: pb.Filter, refusal: str) -> None:
    with pytest.raises(InvalidError, match=refusal):
        where(message)
