"""What a client answers with. All of it is plain, immutable Python: no array library is needed to read it."""

from farnear.results.clusters import (
    Assignment,
    AttributeSummary,
    ClassCount,
    Cluster,
    ClusterDetails,
    Clustering,
    EpsSuggestion,
    Fit,
    MapInfo,
    MapPoint,
    NearCluster,
    ValueCount,
)
from farnear.results.collections import Activation, Collection
from farnear.results.events import ClusterChange, ClusterEvent, EventBatch
from farnear.results.explain import Explanation, Heatmap
from farnear.results.items import Item, ItemImage, UpsertOutcome
from farnear.results.search import Certificate, Hit, SearchResult

__all__ = [
    "Activation",
    "Assignment",
    "AttributeSummary",
    "Certificate",
    "ClassCount",
    "Cluster",
    "ClusterChange",
    "ClusterDetails",
    "ClusterEvent",
    "Clustering",
    "Collection",
    "EpsSuggestion",
    "EventBatch",
    "Explanation",
    "Fit",
    "Heatmap",
    "Hit",
    "Item",
    "ItemImage",
    "MapInfo",
    "MapPoint",
    "NearCluster",
    "SearchResult",
    "UpsertOutcome",
    "ValueCount",
]
