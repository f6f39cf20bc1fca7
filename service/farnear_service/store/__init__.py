"""The only truth: collections, items, vectors, kept images, histories of users and of clusters, in one SQLite file.

Write-ahead log with synchronous=FULL: a write that returned is on disk and survives `kill -9` and power loss. Index and
clusters are derived from here and can be thrown away. One data directory has one server, held by a lock file.
"""

from farnear_service.store.activations import Activation, Activations
from farnear_service.store.clusterings import Clustering, ClusteringChange, Clusterings, RecordedEvent
from farnear_service.store.collections import Collections
from farnear_service.store.interactions import Interactions
from farnear_service.store.items import Contents, Items
from farnear_service.store.writes import Deletion, Row, Writes, Written

__all__ = [
    "Activation",
    "Clustering",
    "ClusteringChange",
    "Contents",
    "Deletion",
    "RecordedEvent",
    "Row",
    "Store",
    "Written",
]


class Store(Collections, Items, Writes, Interactions, Activations, Clusterings):
    """The store of one data directory: what can be done with each noun, over one database.

    Every method may be called from any thread. Writers take turns; readers see what was committed last and wait for
    nobody. Records (`Collection`) are values: one that was deleted or swapped since has no items any more.
    """
