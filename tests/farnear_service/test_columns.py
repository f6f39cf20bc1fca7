import threading
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from farnear_service.columns import Column, Columns, Texts, Vocabulary, among, microseconds
from farnear_service.types import Attributes
from hypothesis import given
from hypothesis import strategies as st

IDS = ["a", "crack/017.png", "ä", "\U0001f600", "b" * 512, "crack/018.png"]
LABELS = ["crack", "", "rust", "crack", "ä", ""]
MORNING = datetime(2026, 11, 22, 8, 30, 0, 125_000, UTC)

# Few letters, of 1, 2 and 4 bytes, so that texts often share beginnings and ends of several words.
texts = st.text(alphabet="ab\u00e4\U0001f600", min_size=1, max_size=20)


def filled(ids: list[str], attributes: list[Attributes] | None = None) -> Columns:
    columns = Columns()
    columns.append(ids, LABELS[: len(ids)], [float(place) for place in range(len(ids))], attributes or [{}] * len(ids))
    return columns


def numbered(start: int, stop: int) -> tuple[list[str], list[str], list[float], list[Attributes]]:
    rows = range(start, stop)
    return (
        [f"item-{row}" for row in rows],
        [f"class {row % 7}" for row in rows],
        [float(row) for row in rows],
        [{"width": float(row), "note": f"note {row}"} for row in rows],
    )


def values(columns: Columns, field: str) -> list[object]:
    column = columns.now().column(field)
    assert isinstance(column, Column)
    return [None if value == column.absent else value for value in column.values.tolist()]


def texts_of(strings: list[str]) -> Texts:
    columns = Columns()
    columns.append(strings, [""] * len(strings), [0.0] * len(strings), [{}] * len(strings))
    return columns.now().ids


def test_ids_and_labels_come_back_by_row() -> None:
    view = filled(IDS).now()
    assert len(view) == 6
    assert view.item_ids() == IDS
    assert view.labels() == LABELS
    assert [view.item_id(row) for row in range(6)] == IDS
    assert [view.label(row) for row in range(6)] == LABELS
    assert view.item_ids(np.array([4, 0, 4])) == [IDS[4], IDS[0], IDS[4]]
    assert view.labels(np.array([5, 2])) == ["", "rust"]
    assert view.item_ids(np.empty(0, np.int64)) == []


def test_texts_come_back_in_the_order_that_is_asked() -> None:
    ids = texts_of(["a", "", "\U0001f600b", "ccc"])
    assert ids.decode(np.array([2, 1, 1, 3])) == ["\U0001f600b", "", "", "ccc"]
    assert ids.decode(np.empty(0, np.int64)) == []


def test_nothing_is_in_new_columns() -> None:
    view = Columns().now()
    assert len(view) == 0
    assert view.item_ids() == view.labels() == []
    assert view.column("width") is None


def test_what_is_appended_later_does_not_show_in_a_view() -> None:
    columns = Columns()
    views = []
    for start in range(0, 5000, 500):  # the buffers are replaced several times
        columns.append(*numbered(start, start + 500))
        views.append(columns.now())
    assert len(columns) == 5000
    for count, view in zip(range(500, 5001, 500), views, strict=True):
        ids, labels, created, attributes = numbered(0, count)
        assert view.item_ids() == ids
        assert view.labels() == labels
        width, times = view.column("width"), view.column("create_time")
        assert isinstance(width, Column)
        assert isinstance(times, Column)
        assert width.values.tolist() == [entry["width"] for entry in attributes]
        assert times.values.tolist() == [time * 1e6 for time in created]


def test_a_reader_is_not_disturbed_by_the_writer() -> None:
    columns = Columns()
    columns.append(*numbered(0, 100))
    view, ids, done, wrong = columns.now(), numbered(0, 100)[0], threading.Event(), []

    def read() -> None:
        while not done.is_set():
            if view.item_ids() != ids or view.ids.among(["item-99"]).sum() != 1:
                wrong.append(view.item_ids())

    reader = threading.Thread(target=read)
    reader.start()
    for start in range(100, 20_000, 100):
        columns.append(*numbered(start, start + 100))
    done.set()
    reader.join()
    assert wrong == []


def test_views_cannot_be_written() -> None:
    column = filled(IDS).now().column("create_time")
    assert isinstance(column, Column)
    with pytest.raises(ValueError, match="read-only"):
        column.values[0] = 1


def test_a_column_begins_with_its_first_value() -> None:
    columns = filled(IDS[:2])
    assert columns.now().column("width") is None
    columns.append(["x", "y"], ["", ""], [0.0, 0.0], [{}, {"width": 2.5}])
    columns.append(["z"], [""], [0.0], [{}])
    assert values(columns, "width") == [None, None, None, 2.5, None]


def test_each_type_has_its_form() -> None:
    east = MORNING.astimezone(timezone(timedelta(hours=9)))
    columns = filled(
        IDS[:3],
        [
            {"width": -0.5, "wet": True, "site": "ä", "taken": MORNING},
            {"width": 3, "wet": False, "site": "b", "taken": datetime.min.replace(tzinfo=UTC)},
            {"site": "ä", "taken": east},
        ],
    )
    seconds = (MORNING - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
    assert values(columns, "width") == [-0.5, 3.0, None]
    assert values(columns, "wet") == [1, 0, None]
    assert values(columns, "site") == [0, 1, 0]
    assert values(columns, "taken") == [seconds * 1e6, -62_135_596_800_000_000, seconds * 1e6]
    site = columns.now().column("site")
    assert isinstance(site, Column)
    assert site.vocabulary is not None
    assert site.vocabulary.decode(site.values) == ["ä", "b", "ä"]


def test_create_time_is_cut_to_the_microsecond() -> None:
    columns = Columns()
    columns.append(["a", "b"], ["", ""], [1_700_000_000.000_001_9, -0.000_001_5], [{}, {}])
    assert values(columns, "create_time") == [1_700_000_000_000_001, -2]


def test_microseconds_are_counted_from_1970() -> None:
    assert microseconds(datetime(1970, 1, 2, tzinfo=UTC)) == 86_400_000_000
    assert microseconds(MORNING.astimezone(timezone(timedelta(hours=-5)))) == microseconds(MORNING)


def test_take_copies_rows_in_the_order_asked_for() -> None:
    columns = filled(IDS, [{"site": site} if site else {} for site in ("x", "y", "", "z", "y", "w")])
    taken = columns.take(np.array([4, 2, 1]))
    columns.append(["later"], ["new"], [9.0], [{"site": "v"}])
    taken.append(["own"], ["rust"], [7.0], [{"site": "w", "width": 1.0}])
    view = taken.now()
    assert view.item_ids() == [IDS[4], IDS[2], IDS[1], "own"]
    assert view.labels() == ["ä", "rust", "", "rust"]
    assert values(taken, "create_time") == [4e6, 2e6, 1e6, 7e6]
    assert values(taken, "width") == [None, None, None, 1.0]
    site = view.column("site")
    assert isinstance(site, Column)
    assert site.vocabulary is not None
    assert site.vocabulary.words() == ["y", "w"]  # no other string is left in it
    assert site.values.tolist() == [0, -1, 0, 1]
    assert columns.now().item_ids() == [*IDS, "later"]


def test_take_of_more_rows_than_are_copied_at_a_time() -> None:
    columns = Columns()
    columns.append(*numbered(0, 70_000))
    rows = np.arange(70_000)[::-1]
    assert columns.take(rows).now().item_ids() == [f"item-{row}" for row in rows]


def test_take_of_nothing() -> None:
    taken = filled(IDS).take(np.empty(0, np.int64))
    assert len(taken) == 0
    taken.append(["a"], ["b"], [0.0], [{}])
    assert (taken.now().item_ids(), taken.now().labels()) == (["a"], ["b"])


def test_a_vocabulary_numbers_strings_as_they_come() -> None:
    vocabulary = Vocabulary(["b"])
    assert [vocabulary.add(word) for word in ("a", "b", "a", "")] == [1, 0, 1, 2]
    assert vocabulary.words() == ["b", "a", ""]
    assert (vocabulary.code("a"), vocabulary.code("c")) == (1, None)


@given(strings=st.lists(texts, max_size=30), wanted=st.lists(texts, min_size=1, max_size=30))
def test_texts_among_others_are_those_that_python_finds(strings: list[str], wanted: list[str]) -> None:
    assert texts_of(strings).among(wanted).tolist() == [text in wanted for text in strings]


@given(strings=st.lists(texts, max_size=30), bound=texts | st.just(""))
def test_texts_compare_by_their_bytes(strings: list[str], bound: str) -> None:
    signs = [(text.encode() > bound.encode()) - (text.encode() < bound.encode()) for text in strings]
    assert texts_of(strings).compared(bound).tolist() == signs


@given(numbers=st.lists(st.integers(0, 9), max_size=30), wanted=st.lists(st.integers(0, 12), max_size=40))
def test_among_finds_what_python_finds(numbers: list[int], wanted: list[int]) -> None:
    given_wanted = np.array(wanted, np.int64)
    assert among(np.array(numbers, np.int32), given_wanted).tolist() == [number in wanted for number in numbers]
    assert given_wanted.tolist() == wanted


@given(
    strings=st.lists(texts, max_size=60), after=texts | st.just(""), count=st.integers(1, 4), every=st.integers(1, 3)
)
def test_the_first_texts_are_those_that_sorting_puts_first(
    strings: list[str], after: str, count: int, every: int
) -> None:
    rows = np.arange(0, len(strings), every)
    expected = sorted(text for text in strings[::every] if text > after)[:count]
    assert texts_of(strings).first(rows, count, after=after) == expected
    assert rows.tolist() == list(range(0, len(strings), every))


def test_of_very_many_texts_few_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [f"class/{number % 7}/{number:05}.png" for number in np.random.default_rng(0).permutation(20_000)]
    column, decoded, decode = texts_of(ids), 0, Texts.decode

    def count(texts: Texts, rows: Any) -> list[str]:
        nonlocal decoded
        decoded += len(rows)
        return decode(texts, rows)

    monkeypatch.setattr(Texts, "decode", count)
    assert (
        column.first(np.arange(20_000), 100, after="class/3/") == sorted(one for one in ids if one > "class/3/")[:100]
    )
    assert decoded < 3_000
