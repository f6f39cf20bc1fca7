"""Incremental DBSCAN: at every moment the clusters of DBSCAN from scratch, with identities that last.

    engine = PlaneDbscan(eps=3.0, min_samples=10)
    events = engine.insert(keys, positions)  # born, grown, shrunk, merged, split, dissolved
    events = engine.delete(keys)
    now = engine.snapshot()  # keys, points, labels and core, for other threads

Where to look: `insertion.py` and `deletion.py` are the paper's two operations in the plane, `scan.py` both on the
sphere, `search.py` tells whether a cluster falls apart, `identity.py` which cluster is which, `tables.py` what is in
memory.

Numba compiles at the first use, twelve seconds long, and keeps the code in `__pycache__`. It looks for changes only in
the file of the function that Python called: who edits one that is called by others runs `make clean`.
"""

from farnear_service.dbscan.engine import IncrementalDbscan
from farnear_service.dbscan.identity import Change, ClusterEvent, match_clusters
from farnear_service.dbscan.plane import PlaneDbscan, warm_up
from farnear_service.dbscan.snapshot import NOISE, Snapshot
from farnear_service.dbscan.sphere import SphereDbscan

__all__ = [
    "NOISE",
    "Change",
    "ClusterEvent",
    "IncrementalDbscan",
    "PlaneDbscan",
    "Snapshot",
    "SphereDbscan",
    "match_clusters",
    "warm_up",
]
