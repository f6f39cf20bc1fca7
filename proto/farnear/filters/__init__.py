"""Filters: which items count, said in a line.

    severity >= 3 and label in ('crack', 'rust') and not exists(reviewed)

A condition compares a field with a value: `=`, `!=`, `<`, `<=`, `>`, `>=`, `in (...)`, `not in (...)`, or asks whether
there is one: `exists(field)`. Conditions are joined by `not`, `and`, `or`, which bind in this order, and parentheses.

A field is an attribute of the collection, or one of item_id, label (texts), cluster (a number; -1 is noise) and
create_time (a time). A value is of the field's type:

* a text in single or double quotes, where the quote itself is written twice: 'crack', "Bob's", 'Bob''s';
* a number: 3, -0.5, 1e-3;
* true or false;
* a time after an @, as ISO 8601 writes it with its zone: @2026-11-22T10:00Z; a date alone is its beginning in UTC;
* :name, for a value that is handed over beside the text and so needs no quotes.

An item that lacks a field matches no condition on it, `!=` and `not in` included; it does match `not (severity = 3)`.
"""

from typing import TypeAlias

from farnear.filters.parser import Parameter, Parser
from farnear.v1.filters_pb2 import Filter

Where: TypeAlias = str | Filter
"""A filter: as text, or as `parse` returned it."""


def parse(text: str, /, **values: Parameter) -> Filter:
    """Reads a filter; the module describes how one is written.

    Example:
        >>> parse("label = :label and severity in :levels", label="Bob's", levels=[3, 4])

    Args:
        text: The filter.
        **values: What the :names in it stand for.

    Raises:
        ValueError: If the text is no filter, or the names in it are not those of the values; the message points to the
            column, from 1.
        TypeError: If a value is no str, number, bool or datetime, or behind `in` no list of them.
    """
    parser = Parser(text, values)
    found = parser.either()
    parser.end()
    return found


def to_filter(where: Where | None) -> Filter | None:
    """The message of a filter."""
    return parse(where) if isinstance(where, str) else where
