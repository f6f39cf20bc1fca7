"""The words and signs of a filter, each with its column."""

import re
from typing import NamedTuple

_TOKEN = re.compile(
    r"""
    (?P<text> '(?:[^']|'')*' | "(?:[^"]|"")*" )
  | (?P<time> @[0-9A-Za-z:.+-]+ )
  | (?P<number> [+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)? )
  | (?P<word> [A-Za-z][A-Za-z0-9_.-]* )
  | (?P<parameter> :[A-Za-z_][A-Za-z0-9_]* )
  | (?P<sign> <= | >= | != | == | [=<>(),] )
    """,
    re.VERBOSE,
)


class Token(NamedTuple):
    """A piece of the text, the column of its first character counted from 1."""

    kind: str
    text: str
    column: int

    def __str__(self) -> str:
        return "the end" if self.kind == "end" else repr(self.text)


def tokens(text: str) -> list[Token]:
    """Takes a filter apart; the last token is of the kind "end".

    Raises:
        ValueError: At the first character that begins no token.
    """
    found: list[Token] = []
    place = 0
    while place < len(text):
        if text[place].isspace():
            place += 1
            continue
        match = _TOKEN.match(text, place)
        if match is None:
            wrong = (
                "a text without its closing quote" if text[place] in "'\"" else f"{text[place]!r} stands for nothing"
            )
            raise ValueError(f"column {place + 1}: {wrong}")
        found.append(Token(match.lastgroup or "", match.group(), place + 1))
        place = match.end()
    return [*found, Token("end", "", len(text) + 1)]
