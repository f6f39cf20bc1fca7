"""What is known of the items of one collection beside keys and vectors, row by row and compactly.

A million items take 8 MB for the times of creation, 4 for the labels, 8 and the text itself for the ids, and 1 to 8 for
each attribute. Strings other than ids are held once each, however many items share them.

One writer appends; any thread reads the views that it hands out. What a view sees is never written again: buffers are
written behind it, or replaced when they are full, and vocabularies only grow.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from farnear_service.compiled import compiled
from farnear_service.types import Attributes, AttributeValue, ByteArray

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WORD = 8  # bytes that are compared at a time
_FIRST_BYTES = np.array([2**64 - 2 ** (64 - 8 * count) for count in range(_WORD + 1)], np.uint64)  # 0 to 8 of a word
_FEW = 16  # values that are quicker looked for one by one
_MANY = 16  # times as many texts as are wanted, above which most are put aside undecoded
_SAMPLE = 1000
_TEXTS = 65_536  # copied at a time: some megabytes of places
_TEXT_BYTES = 32  # of an id, for which room is held; what is not used of it takes no memory


def microseconds(time: datetime) -> int:
    """Microseconds since 1970 of a time with a zone."""
    return (time - _EPOCH) // timedelta(microseconds=1)


def time_of(microseconds: int) -> datetime:
    """The time, in UTC, of microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=microseconds)


def _unix_microseconds(seconds: float) -> int:
    # Cut, not rounded, from the nanoseconds that are sent of it: so does a reader of those who keeps microseconds.
    return round(seconds * 1e9) // 1000


class Vocabulary:
    """Strings and their codes 0, 1, 2, ... in order of appearance. One thread adds, any thread reads."""

    def __init__(self, words: Iterable[str] = ()) -> None:
        self._words = list(words)
        self._codes = {word: code for code, word in enumerate(self._words)}

    def add(self, word: str) -> int:
        """The code of `word`, a new one if need be."""
        code = self._codes.get(word)
        if code is None:
            code = len(self._words)
            self._words.append(word)  # before its code, so that every code that can be read has its word
            self._codes[word] = code
        return code

    def code(self, word: str) -> int | None:
        """The code of `word`; None for a string that never came."""
        return self._codes.get(word)

    def words(self) -> list[str]:
        """All strings, by code: at least those that a view was made with."""
        return self._words.copy()

    def decode(self, codes: NDArray[np.integer]) -> list[str]:
        """The strings of codes of shape (N,)."""
        return [self._words[code] for code in codes.tolist()]


@dataclass(frozen=True)
class Column:
    """One value for each of N rows: `values` of shape (N,), read-only.

    Numbers are float64, truth values int8, times int64 in microseconds since 1970, strings int32 codes of `vocabulary`.
    Where a row has no value there is `absent`, which lies below every value: -inf, -1, -2^63 and -1.
    """

    values: NDArray[Any]
    absent: float
    vocabulary: Vocabulary | None = None


@dataclass(frozen=True)
class Texts:
    """N texts on end, read-only: the UTF-8 `text` uint8, and where each stops in it, `stops` int64 (N + 1) from 0.

    None of them contains a zero byte, and 8 bytes of no meaning follow the last.
    """

    text: NDArray[np.uint8]
    stops: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.stops) - 1

    def decode(self, rows: NDArray[np.integer] | slice = slice(None)) -> list[str]:
        """The texts of some rows, or of all."""
        chosen = np.arange(len(self))[rows] if isinstance(rows, slice) else np.require(rows, np.int64, ["C", "W"])
        texts: str = _joined(self.text, self.stops, chosen).tobytes().decode()
        return texts.split("\0")[:-1]

    def among(self, wanted: Sequence[str]) -> NDArray[np.bool_]:
        """Which texts are one of `wanted`, (N,)."""
        # The last bytes are where ids of one source differ most; what agrees in 16 of them is compared in full.
        starts, ends, data = self.stops[:-1], self.stops[1:], [text.encode() for text in wanted]
        last = self._words(np.maximum(starts, ends - _WORD), ends)
        rows = np.flatnonzero(among(last, np.array([_word(text[-_WORD:]) for text in data])))
        starts, ends = starts[rows], ends[rows] - _WORD
        before = self._words(np.maximum(starts, ends - _WORD), ends)
        rows = rows[among(before, np.array([_word(text[-2 * _WORD : -_WORD]) for text in data]))]
        texts = set(wanted)
        mask = np.zeros(len(self), np.bool_)
        mask[rows] = [text in texts for text in self.decode(rows)]
        return mask

    def compared(self, bound: str) -> NDArray[np.int8]:
        """-1, 0 or 1 for each text that comes before, equals or comes behind `bound` by its bytes, (N,)."""
        signs = np.zeros(len(self), np.int8)
        rows = np.arange(len(self))  # those that agree with the bound so far
        data = bound.encode()
        for place in range(0, len(data) + 1, _WORD):
            word = _word(data[place : place + _WORD])
            words = self._words(self.stops[rows] + place, self.stops[rows + 1])
            signs[rows] = (words > word).view(np.int8) - (words < word).view(np.int8)
            rows = rows[words == word]
        return signs

    def first(self, rows: NDArray[np.integer], count: int, *, after: str) -> list[str]:
        """The first `count` of the texts in some rows that come behind `after`, in order; fewer where no more do."""
        rows = rows[self.compared(after)[rows] > 0]
        if len(rows) > _MANY * count:
            # A text of which a sample tells that more than enough, but few, come before it leaves few to be decoded.
            sample = sorted(self.decode(rows[:: max(1, len(rows) // _SAMPLE)]))
            near = rows[self.compared(sample[4 * count * len(sample) // len(rows)])[rows] <= 0]
            rows = near if len(near) >= count else rows
        return heapq.nsmallest(count, self.decode(rows))

    def _words(self, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.uint64]:
        # The 8 bytes from each start, with zeros in place of those behind the end. As no text has a zero byte, such
        # words are in the order of the texts, and equal only where all eight bytes are.
        everywhere = np.ndarray((len(self.text) - _WORD + 1,), ">u8", self.text, strides=(1,))
        words: NDArray[np.uint64] = everywhere[starts].astype(np.uint64)
        words &= _FIRST_BYTES[np.clip(ends - starts, 0, _WORD)]
        return words


def among(values: NDArray[Any], wanted: NDArray[Any]) -> NDArray[np.bool_]:
    """Which `values` (N,) are one of `wanted` (V,), in any order. O(N log V)."""
    mask: NDArray[np.bool_]
    if len(wanted) == 1:
        mask = values == wanted[0]
    elif len(wanted) <= _FEW:
        mask = np.isin(values, wanted)
    else:
        ordered = np.sort(wanted)
        mask = ordered.take(np.searchsorted(ordered, values), mode="clip") == values
    return mask


@compiled
def _joined(text: ByteArray, stops: NDArray[np.int64], rows: NDArray[np.int64]) -> ByteArray:
    """The texts of some rows, each with a zero byte behind it, which no text contains."""
    out = np.zeros((stops[rows + 1] - stops[rows]).sum() + len(rows), np.uint8)
    start = 0
    for row in rows:
        one = text[stops[row] : stops[row + 1]]
        out[start : start + len(one)] = one
        start += len(one) + 1
    return out


def _word(data: bytes) -> np.uint64:
    return np.uint64(int.from_bytes(data.ljust(_WORD, b"\0")))


@dataclass(frozen=True)
class ColumnsView:
    """N rows as they were when the view was made, whatever is appended since."""

    ids: Texts
    fields: Mapping[str, Column]

    def __len__(self) -> int:
        return len(self.ids)

    def item_id(self, row: int) -> str:
        """The id of the item in a row."""
        return self.ids.decode(np.array([row]))[0]

    def item_ids(self, rows: NDArray[np.integer] | None = None) -> list[str]:
        """The ids of the items in some rows, or in all."""
        return self.ids.decode(slice(None) if rows is None else rows)

    def label(self, row: int) -> str:
        """The label of the item in a row."""
        return self.labels(np.array([row]))[0]

    def labels(self, rows: NDArray[np.integer] | None = None) -> list[str]:
        """The labels of the items in some rows, or in all."""
        column = self.fields["label"]
        assert column.vocabulary is not None
        return column.vocabulary.decode(column.values if rows is None else column.values[rows])

    def column(self, field: str) -> Column | Texts | None:
        """The values of an attribute, `label` or `create_time`, or the ids; None where no item ever had a value."""
        return self.ids if field == "item_id" else self.fields.get(field)


class Columns:
    """Rows to which one writer appends in place, N so far. There is `room` for so many from the start."""

    def __init__(self, room: int = 0) -> None:
        self._text = _Buffer(np.uint8, spare=_WORD, room=_TEXT_BYTES * room)
        self._stops = _Buffer(np.int64, room=room + 1)
        self._stops.extend([0])
        self._fields = {
            "label": _Writer.of("", room),
            "create_time": _Writer(_Buffer(np.int64, room=room), np.iinfo(np.int64).min, _unix_microseconds),
        }

    def __len__(self) -> int:
        return self._stops.size - 1

    def append(
        self,
        item_ids: Sequence[str],
        labels: Sequence[str],
        created: Sequence[float],
        attributes: Sequence[Attributes],
    ) -> None:
        """Appends rows: ids without zero bytes, times of creation in Unix seconds, and attributes.

        An attribute's column starts with its first value; every later value is of the same type.
        """
        assert len(item_ids) == len(labels) == len(created) == len(attributes)
        for entry in attributes:
            for name, value in entry.items():
                if name not in self._fields:
                    self._fields[name] = _Writer.of(value)
                    self._fields[name].skip(len(self))
        texts = [item_id.encode() for item_id in item_ids]
        self._stops.extend(self._text.size + np.cumsum([len(text) for text in texts], dtype=np.int64))
        self._text.extend(np.frombuffer(b"".join(texts), np.uint8))
        given: dict[str, Sequence[Any]] = {"label": labels, "create_time": created}
        for name, writer in self._fields.items():
            writer.extend(given[name] if name in given else [entry.get(name) for entry in attributes])

    def take(self, rows: NDArray[np.int64]) -> Columns:
        """New columns with a copy of these rows, in this order. O(N); strings that none of them has are left out."""
        taken = Columns()
        text, stops = self._text.written(), self._stops.written()
        lengths = stops[rows + 1] - stops[rows]
        taken._stops.extend(np.cumsum(lengths))
        for start in range(0, len(rows), _TEXTS):
            part, sizes = rows[start : start + _TEXTS], lengths[start : start + _TEXTS]
            within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
            taken._text.extend(text[np.repeat(stops[part], sizes) + within])
        taken._fields = {name: writer.take(rows) for name, writer in self._fields.items()}
        return taken

    def now(self) -> ColumnsView:
        """A view of the present rows."""
        fields = {
            name: Column(writer.values.written(), writer.absent, writer.vocabulary)
            for name, writer in self._fields.items()
        }
        return ColumnsView(Texts(self._text.written(), self._stops.written()), fields)


@dataclass(frozen=True)
class _Writer:
    """A column that grows: how a value is written, and what stands where there is none."""

    values: _Buffer
    absent: float
    encode: Callable[[Any], float]
    vocabulary: Vocabulary | None = None

    @classmethod
    def of(cls, value: AttributeValue, room: int = 0) -> _Writer:
        """An empty column for values of this one's type."""
        match value:
            case str():
                vocabulary = Vocabulary()
                return cls(_Buffer(np.int32, room=room), -1, vocabulary.add, vocabulary)
            case bool():
                return cls(_Buffer(np.int8, room=room), -1, int)
            case datetime():
                return cls(_Buffer(np.int64, room=room), np.iinfo(np.int64).min, microseconds)
            case _:
                return cls(_Buffer(np.float64, room=room), -np.inf, float)

    def skip(self, rows: int) -> None:
        self.values.extend(np.full(rows, self.absent))

    def extend(self, values: Sequence[AttributeValue | None]) -> None:
        self.values.extend([self.absent if value is None else self.encode(value) for value in values])

    def take(self, rows: NDArray[np.int64]) -> _Writer:
        values, vocabulary, encode = self.values.written()[rows], self.vocabulary, self.encode
        if vocabulary is not None:
            words = vocabulary.words()
            new_codes = np.full(len(words) + 1, self.absent, np.int32)  # the last is for rows without a value
            used = np.unique(values[values != self.absent])
            new_codes[used] = np.arange(len(used))
            values = new_codes[values]
            vocabulary = Vocabulary(words[code] for code in used.tolist())
            encode = vocabulary.add
        buffer = _Buffer(values.dtype)
        buffer.extend(values)
        return _Writer(buffer, self.absent, encode, vocabulary)


class _Buffer:
    """An array that grows at its end; what was written stays as it is in every slice of it that was handed out.

    `spare` entries, of no meaning, can be read behind the last. Nothing is copied up to `room` entries.
    """

    def __init__(self, dtype: DTypeLike, *, spare: int = 0, room: int = 0) -> None:
        self._room = np.zeros(room + spare, dtype)
        self._spare = spare
        self.size = 0

    def extend(self, values: ArrayLike) -> None:
        added = np.asarray(values, self._room.dtype)
        stop = self.size + len(added)
        if stop + self._spare > len(self._room):
            room = np.zeros(max(stop + self._spare, 3 * self.size // 2, 1024), self._room.dtype)
            room[: self.size] = self._room[: self.size]
            self._room = room
        self._room[self.size : stop] = added
        self.size = stop

    def written(self) -> NDArray[Any]:
        view = self._room[: self.size + self._spare]
        view.flags.writeable = False
        return view
