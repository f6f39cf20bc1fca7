"""Heat maps."""

from dataclasses import dataclass

from farnear.errors import FarnearError


@dataclass(frozen=True, kw_only=True)
class Heatmap:
    """Which places of the feature layer the embedding comes from (Grad-CAM, Selvaraju et al. 2017, for a metric).

    Attributes:
        height: Rows of the grid.
        width: Columns of the grid.
        values: `height * width` values, row by row from the top left; 0 or more, not scaled, larger is more important.
        overlay_png: The map drawn over the image as a PNG; None unless it was asked for.
    """

    height: int
    width: int
    values: tuple[float, ...]
    overlay_png: bytes | None


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """The answer to one query: a heat map, or the error it was refused with."""

    heatmap: Heatmap | None
    error: FarnearError | None
