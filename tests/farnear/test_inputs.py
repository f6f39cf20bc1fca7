from collections.abc import Iterator

import pytest
from farnear import NewItem, Vector
from farnear.inputs import MAX_CONTENT_BYTES, batches

MIB = 2**20


def item(item_id: str, size: int = 1) -> NewItem:
    return NewItem(item_id=item_id, content=bytes(size))


def test_batches_hold_at_most_128_items() -> None:
    items = [item(str(number)) for number in range(257)]
    found = list(batches(items))
    assert [len(batch) for batch in found] == [128, 128, 1]
    assert [entry for batch in found for entry in batch] == items


def test_batches_hold_at_most_16_mib() -> None:
    items = [item("a", 10 * MIB), item("b", 6 * MIB), item("c", 1), item("d", 16 * MIB), item("e", 20 * MIB), item("f")]
    assert [[entry.item_id for entry in batch] for batch in batches(items)] == [["a", "b"], ["c"], ["d"], ["e"], ["f"]]


def test_vectors_count_as_float32() -> None:
    large = Vector(values=[0.0] * (3 * MIB), bundle_digest="")
    items = [NewItem(item_id=name, content=large) for name in ("a", "b")]
    assert [len(batch) for batch in batches(items)] == [1, 1]


def test_items_are_read_no_further_than_the_batch_at_hand() -> None:
    read = []

    def items() -> Iterator[NewItem]:
        for number in range(1000):
            read.append(number)
            yield item(str(number))

    next(batches(items()))
    assert len(read) == 129


def test_no_items_are_no_batch() -> None:
    assert list(batches([])) == []


def test_an_image_that_no_call_can_carry_is_refused() -> None:
    assert item("a", MAX_CONTENT_BYTES).item_id == "a"
    with pytest.raises(ValueError, match="content: 67,108,865 bytes, at most 67,108,864 can be sent"):
        item("a", MAX_CONTENT_BYTES + 1)
