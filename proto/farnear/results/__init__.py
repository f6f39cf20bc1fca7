"""What a client answers with. All of it is plain, immutable Python: no array library is needed to read it."""

from farnear.results.clusters import Assignment, ClassCount, Cluster, Clustering, Fit, MapInfo, MapPoint
from farnear.results.collections import Activation, Collection
from farnear.results.explain import Explanation, Heatmap
from farnear.results.items import Item, ItemImage, UpsertOutcome
from farnear.results.search import Certificate, Hit, SearchResult

__all__ = [
    "Activation",
    "Assignment",
    "Certificate",
    "ClassCount",
    "Cluster",
    "Clustering",
    "Collection",
    "Explanation",
    "Fit",
    "Heatmap",
    "Hit",
    "Item",
    "ItemImage",
    "MapInfo",
    "MapPoint",
    "SearchResult",
    "UpsertOutcome",
]
