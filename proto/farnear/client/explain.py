"""The calls that draw heat maps."""

from collections.abc import Sequence

from farnear.client.connection import Connection
from farnear.inputs import Query
from farnear.results import Explanation, Heatmap
from farnear.wire.explain import read_explanations, read_heatmap, to_explain_request


class ExplainCalls(Connection):
    """Heat maps: where in an image its embedding comes from."""

    def explain(
        self, collection: str, queries: Sequence[Query], *, overlay: bool = False, timeout: float | None = None
    ) -> list[Explanation]:
        """Heat maps: where in each image its embedding comes from.

        Args:
            collection: Whose bundle explains.
            queries: 1 to 100 images, or ids of items whose image is kept.
            overlay: Whether to draw each map over its image as a PNG of at most 1,024 px a side.
            timeout: See the class.

        Returns:
            One explanation for each query, in order. A refused query has its `error` set; its neighbours are served.
        """
        request = to_explain_request(collection, queries, overlay)
        return read_explanations(self._call(self._explain.Explain, request, timeout))

    def heatmap(self, collection: str, query: Query, *, overlay: bool = False, timeout: float | None = None) -> Heatmap:
        """The heat map of one query; see `explain`."""
        request = to_explain_request(collection, [query], overlay)
        return read_heatmap(self._call(self._explain.Explain, request, timeout))
