"""From bytes to answers.

The story is in `story`, the bundles and collections of a data directory in `catalog`, a served bundle in `model`, and a
collection in memory in `live`.
"""

from farnear_service.pipeline.catalog import Catalog, CatalogSettings
from farnear_service.pipeline.live import ClusterSummary, LiveCollection, MapPoints, MapState
from farnear_service.pipeline.model import ModelSettings
from farnear_service.pipeline.story import Limits, Pipeline, Placement

__all__ = [
    "Catalog",
    "CatalogSettings",
    "ClusterSummary",
    "Limits",
    "LiveCollection",
    "MapPoints",
    "MapState",
    "ModelSettings",
    "Pipeline",
    "Placement",
]
