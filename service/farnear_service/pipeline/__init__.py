"""From bytes to answers.

The story is in `story`, with `recommendations` and `clustering` beside it; the bundles and collections of a data
directory are in `catalog`, a served bundle in `model`, a collection in memory in `live`, its map in `living_map`, and
the clusters on that in `durable_clusters`.
"""

from farnear_service.pipeline.attribute_summaries import AttributeSummary
from farnear_service.pipeline.catalog import Catalog, CatalogSettings
from farnear_service.pipeline.cluster_questions import ClusterDetail, ClusterSummary, MapPoints, Suggestion
from farnear_service.pipeline.clustering import Placement
from farnear_service.pipeline.explaining import ExplainHits
from farnear_service.pipeline.limits import Limits
from farnear_service.pipeline.live import LiveCollection
from farnear_service.pipeline.living_map import MapState
from farnear_service.pipeline.model import ModelSettings
from farnear_service.pipeline.recommending import Mode, Wish
from farnear_service.pipeline.story import Answer, Behind, KeptImage, Pipeline

__all__ = [
    "Answer",
    "AttributeSummary",
    "Behind",
    "Catalog",
    "CatalogSettings",
    "ClusterDetail",
    "ClusterSummary",
    "ExplainHits",
    "KeptImage",
    "Limits",
    "LiveCollection",
    "MapPoints",
    "MapState",
    "Mode",
    "ModelSettings",
    "Pipeline",
    "Placement",
    "Suggestion",
    "Wish",
]
