"""From bytes to answers.

The story is in `story`, the bundles and collections of a data directory in `catalog`, a served bundle in `model`, a
collection in memory in `live`, and its map in `living_map`.
"""

from farnear_service.pipeline.catalog import Catalog, CatalogSettings
from farnear_service.pipeline.live import LiveCollection
from farnear_service.pipeline.living_map import ClusterSummary, MapPoints, MapState
from farnear_service.pipeline.model import ModelSettings
from farnear_service.pipeline.recommending import Mode, Wish
from farnear_service.pipeline.story import Answer, Behind, KeptImage, Limits, Pipeline, Placement

__all__ = [
    "Answer",
    "Behind",
    "Catalog",
    "CatalogSettings",
    "ClusterSummary",
    "KeptImage",
    "Limits",
    "LiveCollection",
    "MapPoints",
    "MapState",
    "Mode",
    "ModelSettings",
    "Pipeline",
    "Placement",
    "Wish",
]
