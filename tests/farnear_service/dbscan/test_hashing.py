import numpy as np
import pytest
from farnear_service.dbscan.hashing import EMPTY, drop, find, new_table, put
from hypothesis import given, settings
from hypothesis import strategies as st

KEYS = np.array([0, 1, -1, 7, 2**32, -(2**32), 2**63 - 1, -(2**63), *range(100, 116)])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, len(KEYS) - 1), max_size=80))
def test_a_full_table_is_a_dictionary(rows: list[int]) -> None:
    """Rows come and go; the table is as small as it may be, so probes run into one another and over its end."""
    table = new_table(len(KEYS))
    assert len(table) == 64
    table = table[:32].copy()
    held: set[int] = set()
    for row in rows:
        if row in held:
            drop(table, KEYS, np.int32(row))
            held.remove(row)
        else:
            put(table, KEYS, np.int32(row))
            held.add(row)
        assert [find(table, KEYS, key) for key in KEYS] == [i if i in held else EMPTY for i in range(len(KEYS))]
    assert (table != EMPTY).sum() == len(held)


@pytest.mark.parametrize(("capacity", "places"), [(0, 16), (8, 16), (9, 32), (1000, 2048), (1024, 2048), (1025, 4096)])
def test_a_table_is_at_least_twice_as_long_as_what_it_is_for(capacity: int, places: int) -> None:
    assert new_table(capacity).tolist() == [EMPTY] * places


def test_fields_of_records_serve_as_keys() -> None:
    records = np.zeros(4, np.dtype([("other", "i4"), ("key", "i8")], align=True))
    records["key"] = [5, 6, 7, 8]
    table = new_table(4)
    put(table, records["key"], np.int32(2))
    assert [find(table, records["key"], key) for key in (5, 7, 8)] == [EMPTY, 2, EMPTY]
