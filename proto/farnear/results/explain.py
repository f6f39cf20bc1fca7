"""Heat maps."""

from dataclasses import dataclass

from farnear.errors import FarnearError


@dataclass(frozen=True, kw_only=True)
class Heatmap:
    """Which places of the feature layer a score comes from (Grad-CAM, Selvaraju et al. 2017, for a metric).

    Attributes:
        height: Rows of the grid.
        width: Columns of the grid.
        values: `height * width` values, row by row from the top left, not scaled; larger is more important. Of an image
            alone they are 0 or more; of pairs they are signed: below 0 lies what speaks against.
        least: The least of them.
        greatest: The greatest of them.
        picture_png: What is above 0 as a PNG, on a scale to the greatest absolute value; None unless one was asked for.
    """

    height: int
    width: int
    values: tuple[float, ...]
    least: float
    greatest: float
    picture_png: bytes | None


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """The answer to one query: a heat map, or the error it was refused with.

    Attributes:
        heatmap: None where the query was refused.
        error: Set where it was.
        other_heatmap: Of a pair, the map of the other side; None where that has no image.
        similarity: Of a pair, the cosine similarity of the two.
        cluster: Of CLUSTER, the cluster.
        other_item_id: Of CLUSTER, its medoid, which is the other side; else empty.
    """

    heatmap: Heatmap | None
    error: FarnearError | None
    other_heatmap: Heatmap | None = None
    similarity: float | None = None
    cluster: int | None = None
    other_item_id: str = ""
