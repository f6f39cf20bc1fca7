"""How good an embedding is, by its ranking, by the classes it tells and by the clusters of its map, and how sure."""

from farnear_training.metrics.bootstrap import Interval, mean_intervals
from farnear_training.metrics.ranking import MEASURES, Retrieval, askable, chance, query_scores, retrieval

__all__ = ["MEASURES", "Interval", "Retrieval", "askable", "chance", "mean_intervals", "query_scores", "retrieval"]
