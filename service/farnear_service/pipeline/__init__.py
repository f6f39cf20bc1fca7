"""From bytes to answers: the story is in `story`, a served bundle in `model`, a collection in memory in `live`."""

from farnear_service.pipeline.live import ClusterSummary, LiveCollection, MapPoints, MapState
from farnear_service.pipeline.story import Limits, Pipeline, Placement

__all__ = ["ClusterSummary", "Limits", "LiveCollection", "MapPoints", "MapState", "Pipeline", "Placement"]
