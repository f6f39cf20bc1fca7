"""Hits, and what is promised of them."""

from dataclasses import dataclass
from datetime import datetime

from farnear.errors import FarnearError
from farnear.results.explain import Heatmap


@dataclass(frozen=True, kw_only=True)
class Hit:
    """One answer of a search or recommendation.

    Attributes:
        rank: 1 is the first of its list.
        item_id: The item that was found.
        similarity: Cosine similarity to the query, -1 to 1; of a recommendation, its relevance.
        label: Its predefined class, or empty.
        cluster: See `Item.cluster`.
        heatmap: Where heat maps were asked for, the hit's.
        query_heatmap: And the query's, where the two are a pair and the query has an image.
        heatmap_error: Why there is none, though one was asked for: its image is not kept, for one.
    """

    rank: int
    item_id: str
    similarity: float
    label: str
    cluster: int | None
    heatmap: Heatmap | None = None
    query_heatmap: Heatmap | None = None
    heatmap_error: FarnearError | None = None


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """What is promised of a list of hits.

    Attributes:
        exact: Whether the list is exactly what a comparison with every item gives, ties in order of item id.
        recall: 1 where exact. Else the share of the true nearest, or farthest, that the index found when it was
            calibrated against exact search.
        calibration_k: How many were asked for in that calibration; None where exact.
        calibration_queries: Over how many held-back queries it was made; None where exact.
        calibration_time: When, in UTC; None where exact.
    """

    exact: bool
    recall: float
    calibration_k: int | None
    calibration_queries: int | None
    calibration_time: datetime | None


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """The answer to one query.

    Attributes:
        similar: Highest similarity first; empty unless SIMILAR or BOTH was asked.
        divergent: Lowest similarity first; empty unless DIVERGENT or BOTH was asked.
        similar_certificate: What is promised of `similar`; None unless it was asked.
        divergent_certificate: What is promised of `divergent`; None unless it was asked.
        error: Set where this query was refused; its neighbours are served.
        query_heatmap: The query's own, where SELF was to be explained and it has an image.
    """

    similar: tuple[Hit, ...]
    divergent: tuple[Hit, ...]
    similar_certificate: Certificate | None
    divergent_certificate: Certificate | None
    error: FarnearError | None
    query_heatmap: Heatmap | None = None

    @property
    def exact(self) -> bool:
        """Whether every list that was asked for is exact."""
        promised = [entry for entry in (self.similar_certificate, self.divergent_certificate) if entry is not None]
        return bool(promised) and all(certificate.exact for certificate in promised)
