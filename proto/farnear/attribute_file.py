"""What a CSV or JSON Lines file says about items: `farnear index --attributes`."""

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from farnear.attributes import AttributeType, AttributeValue, check_value, read_number, read_time

_KEY = "item_id"
_RESERVED = frozenset({_KEY, "label", "cluster", "create_time"})
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")


class _Row(NamedTuple):
    """A line of a file; the cells are those with something in them, under the names that the file has for them."""

    line: int
    item_id: str
    cells: Mapping[str, Any]


class _Column(NamedTuple):
    """An attribute that the file tells of."""

    name: str
    kind: AttributeType


class _Format(NamedTuple):
    """What is special of a kind of file: its lines, the type of all cells of a column, a cell's value as of a type."""

    rows: Callable[[Path], Iterator[_Row]]
    infer: Callable[[Sequence[Any]], AttributeType]
    read: Callable[[Any, AttributeType], AttributeValue]


def read_attribute_file(path: Path, types: Mapping[str, AttributeType]) -> dict[str, dict[str, AttributeValue]]:
    """The attributes in a file, by item id.

    A `.csv` file has a header with a column item_id; an empty cell is no attribute. A `.jsonl` or `.ndjson` file has an
    object with the key item_id on each line; null is no attribute. A name may carry its type, as in taken:timestamp.
    Else its type is that in `types`, or in JSON that of its first value, or in CSV the first of number, bool and
    timestamp that all its cells can be read as, else string. All of the file is held in memory.

    Args:
        path: The file, in UTF-8.
        types: The types that the collection has for its attributes.

    Raises:
        OSError: If it cannot be read.
        ValueError: If it is no such file, or a name, type or value in it is not allowed.
    """
    form = _FORMATS.get(path.suffix.lower())
    if form is None:
        raise ValueError(f"{path}: is no {', '.join(_FORMATS)} file")
    try:
        rows = list(form.rows(path))
        columns = _columns(rows, types, form)
        found: dict[str, dict[str, AttributeValue]] = {}
        for row in rows:
            if row.item_id in found:
                _fail(row.line, f"{row.item_id!r} was there already")
            found[row.item_id] = {
                columns[key].name: _value(row.line, cell, columns[key], form) for key, cell in row.cells.items()
            }
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path}: {error}") from error
    return found


def _columns(rows: Sequence[_Row], types: Mapping[str, AttributeType], form: _Format) -> dict[str, _Column]:
    found: dict[str, _Column] = {}
    for key in dict.fromkeys(key for row in rows for key in row.cells):
        name, colon, kind = key.partition(":")
        if not _NAME.fullmatch(name) or name in _RESERVED:
            raise ValueError(
                f"{name!r} can be no attribute; allowed are 1 to 64 of a-z, A-Z, 0-9, '_', '-', '.', starting with a "
                f"letter, and none of {', '.join(sorted(_RESERVED))}"
            )
        if colon and kind not in list(AttributeType):
            raise ValueError(f"{key!r}: {kind!r} is no type; allowed are {', '.join(AttributeType)}")
        if colon and types.get(name, kind) != kind:
            raise ValueError(f"{key!r}: in the collection {name} is a {types[name]}")
        if any(name == column.name for column in found.values()):
            raise ValueError(f"{name!r} is there with and without a type, or with two")
        if colon:
            found[key] = _Column(name, AttributeType(kind))
        else:
            cells = [row.cells[key] for row in rows if key in row.cells]
            found[key] = _Column(name, types.get(name) or form.infer(cells))
    return found


def _value(line: int, cell: Any, column: _Column, form: _Format) -> AttributeValue:  # noqa: ANN401 - text, or JSON
    try:
        value = form.read(cell, column.kind)
    except ValueError as error:
        _fail(line, f"{column.name}: {error}")
    check_value(f"line {line}: {column.name}", value)
    return value


def _csv_rows(path: Path) -> Iterator[_Row]:
    # Spreadsheets put a byte order mark before their UTF-8.
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        header = [name.strip() for name in next(reader, [])]
        if _KEY not in header:
            raise ValueError(f"its first line has no column {_KEY}, but {', '.join(header) or 'nothing'}")
        if len(set(header)) < len(header):
            raise ValueError(f"its first line names a column twice: {', '.join(header)}")
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                _fail(reader.line_num, f"{len(cells)} cells under {len(header)} names")
            row = dict(zip(header, cells, strict=True))
            yield _Row(reader.line_num, row.pop(_KEY), {name: cell for name, cell in row.items() if cell.strip()})


def _infer_text(cells: Sequence[str]) -> AttributeType:
    # 007 is rather a code than a number.
    if not any(re.match(r"[+-]?0[0-9]", cell.strip()) for cell in cells):
        for kind in (AttributeType.NUMBER, AttributeType.BOOL, AttributeType.TIMESTAMP):
            if all(_can_be(kind, cell) for cell in cells):
                return kind
    return AttributeType.STRING


def _can_be(kind: AttributeType, cell: str) -> bool:
    try:
        check_value("", _read_text(cell, kind))
    except ValueError:
        return False
    return True


def _read_text(cell: str, kind: AttributeType) -> AttributeValue:
    match kind:
        case AttributeType.STRING:
            return cell
        case AttributeType.NUMBER:
            return read_number(cell.strip())
        case AttributeType.BOOL:
            if cell.strip().lower() not in ("true", "false"):
                raise ValueError(f"{cell!r} is neither true nor false")
            return cell.strip().lower() == "true"
        case AttributeType.TIMESTAMP:
            return read_time(cell.strip())


def _json_rows(path: Path) -> Iterator[_Row]:
    with path.open(encoding="utf-8-sig") as file:
        for line, text in enumerate(file, start=1):
            if not text.strip():
                continue
            try:
                row = json.loads(text)
            except json.JSONDecodeError as error:
                _fail(line, f"not JSON: {error.msg} at column {error.colno}")
            if not isinstance(row, dict) or not isinstance(row.get(_KEY), str):
                _fail(line, f"not an object with a text as {_KEY}")
            yield _Row(line, row.pop(_KEY), {name: value for name, value in row.items() if value is not None})


def _infer_json(values: Sequence[Any]) -> AttributeType:
    return _json_type(values[0]) or AttributeType.STRING


def _read_json(value: Any, kind: AttributeType) -> AttributeValue:  # noqa: ANN401 - whatever JSON can hold
    if kind is AttributeType.TIMESTAMP and isinstance(value, str):
        return read_time(value)
    if _json_type(value) is not kind:
        raise ValueError(f"{json.dumps(value)} is no {kind}")
    found: AttributeValue = value
    return found


def _json_type(value: Any) -> AttributeType | None:  # noqa: ANN401 - whatever JSON can hold
    match value:
        case str():
            return AttributeType.STRING
        case bool():
            return AttributeType.BOOL
        case int() | float():
            return AttributeType.NUMBER
    return None


def _fail(line: int, message: str) -> NoReturn:
    raise ValueError(f"line {line}: {message}")


_CSV = _Format(rows=_csv_rows, infer=_infer_text, read=_read_text)
_JSON_LINES = _Format(rows=_json_rows, infer=_infer_json, read=_read_json)
_FORMATS = {".csv": _CSV, ".jsonl": _JSON_LINES, ".ndjson": _JSON_LINES}
