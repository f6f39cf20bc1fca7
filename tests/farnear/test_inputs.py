from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from farnear import IndexSettings, Interaction, NewItem, Vector
from farnear.inputs import MAX_CONTENT_BYTES, batches, portions

MIB = 2**20


def item(item_id: str, size: int = 1) -> NewItem:
    return NewItem(item_id=item_id, content=bytes(size))


def test_batches_hold_at_most_128_images() -> None:
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


def test_a_batch_holds_at_most_1000_items_of_which_128_are_images() -> None:
    vector = Vector(values=[1.0], bundle_digest="")
    vectors = [NewItem(item_id=str(number), content=vector) for number in range(2001)]
    assert [len(batch) for batch in batches(vectors)] == [1000, 1000, 1]
    mixed = [*vectors[:500], *(item(str(number)) for number in range(200)), *vectors[:900]]
    assert [len(batch) for batch in batches(mixed)] == [628, 972]


@pytest.mark.parametrize(
    ("attributes", "complaint"),
    [
        ({"taken": datetime(2026, 11, 22)}, r"attributes\['taken'\]: 2026-11-22 00:00:00 has no time zone"),
        ({"serial": 2**53 + 1}, r"attributes\['serial'\]: 9007199254740993 is no finite number that a double equals"),
        ({"depth": float("nan")}, r"attributes\['depth'\]: nan is no finite number"),
    ],
)
def test_an_attribute_that_cannot_be_sent_is_refused(attributes: Any, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        NewItem(item_id="a", content=b"", attributes=attributes)
    with pytest.raises(TypeError, match=r"attributes\['x'\]: a value is a str, number, bool or datetime, not list"):
        NewItem(item_id="a", content=b"", attributes={"x": []})  # type: ignore[dict-item]  # that is what is tested


def test_an_item_can_be_hashed_and_compared() -> None:
    first, second = (NewItem(item_id="a", content=b"", attributes={"x": value}) for value in (1, 2))
    assert hash(first) == hash(second)
    assert first != second


@pytest.mark.parametrize("target", [0, 1, -0.5, float("nan")])
def test_a_target_that_no_index_can_have_is_refused(target: float) -> None:
    with pytest.raises(ValueError, match=rf"target_recall: {target}, allowed is above 0 and below 1"):
        IndexSettings(target_recall=target)


def test_an_interaction_needs_the_zone_of_its_time() -> None:
    assert Interaction(item_id="a").time is None
    with pytest.raises(ValueError, match="time: 2026-11-22 00:00:00 has no time zone"):
        Interaction(item_id="a", time=datetime(2026, 11, 22))


def test_portions_are_read_as_they_are_needed() -> None:
    numbers = iter(range(5))
    found = portions(numbers, 2)
    assert next(found) == [0, 1]
    assert next(numbers) == 2
    assert list(found) == [[3, 4]]
    assert list(portions([], 2)) == []
