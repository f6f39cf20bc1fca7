"""Colours and markers of the drawings, on light and on dark paper.

After Okabe and Ito (2008), without those that vanish on one of the papers: they stay apart for colour-blind readers,
and every one comes with a marker of its own, so that no drawing needs colour alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass

_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#9a6fc0", "#a6761d")
_MARKERS = ("o", "^", "s", "D", "v", "P", "X", "<")


@dataclass(frozen=True, kw_only=True)
class Theme:
    """What a drawing lies on and is written with; `line` is for axes and edges of points."""

    paper: str
    ink: str
    soft: str
    line: str
    noise: str


@dataclass(frozen=True, kw_only=True)
class Style:
    """How the points of one group are drawn; `marker` is one of Matplotlib's."""

    colour: str
    marker: str


LIGHT = Theme(paper="#ffffff", ink="#22262b", soft="#53585f", line="#c9cdd2", noise="#b4b9bf")
DARK = Theme(paper="#16191d", ink="#e8eaed", soft="#a7adb5", line="#3c4249", noise="#5a6169")

OTHER = Style(colour="#7d838a", marker=".")
"""Of groups that have no style of their own."""


def style(position: int) -> Style:
    """The style of a group by its place in a list; the first 64 differ."""
    turn, place = divmod(position, len(_COLOURS))
    return Style(colour=_COLOURS[place], marker=_MARKERS[(place + turn) % len(_MARKERS)])


def class_styles(counts: Mapping[str, int], *, limit: int = 16) -> dict[str, Style]:
    """A style for each of the classes that have most items, up to the limit; the empty label is no class."""
    commonest = sorted((label for label in counts if label), key=lambda label: (-counts[label], label))[:limit]
    return {label: style(position) for position, label in enumerate(sorted(commonest))}
