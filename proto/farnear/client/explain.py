"""The calls that draw heat maps."""

from collections.abc import Sequence

from farnear.client.connection import Connection
from farnear.inputs import ExplainTarget, HeatmapPicture, Query
from farnear.results import Explanation, Heatmap
from farnear.wire.explain import read_explanations, read_only_heatmap, to_explain_request


class ExplainCalls(Connection):
    """Heat maps: where in an image its embedding comes from, and its likeness to another."""

    def explain(
        self,
        collection: str,
        queries: Sequence[Query],
        *,
        target: ExplainTarget = ExplainTarget.SELF,
        others: Sequence[Query] = (),
        picture: HeatmapPicture | None = None,
        timeout: float | None = None,
    ) -> list[Explanation]:
        """Heat maps: where in each image its embedding comes from, or what makes it like or unlike another.

        Args:
            collection: Whose bundle explains.
            queries: 1 to 100 images, or ids of items whose image is kept.
            target: What the maps are to explain.
            others: Of pairs, the other sides: one for each query, or one for all. A vector has no map of its own.
            picture: What to draw of each map; None for the values alone.
            timeout: See the class.

        Returns:
            One explanation for each query, in order. A refused query has its `error` set; its neighbours are served.

        Example:
            >>> (pair,) = client.explain(
            ...     "cells", [photo], target=ExplainTarget.PAIR_DIVERGENT, others=[ItemId("a.png")]
            ... )
            >>> pair.similarity, pair.heatmap.greatest, pair.other_heatmap.greatest
        """
        request = to_explain_request(collection, queries, target=target, others=others, picture=picture)
        return read_explanations(request, self._call(self._explain.Explain, request, timeout))

    def heatmap(
        self, collection: str, query: Query, *, picture: HeatmapPicture | None = None, timeout: float | None = None
    ) -> Heatmap:
        """Where in one image its embedding comes from; see `explain`."""
        request = to_explain_request(collection, [query], picture=picture)
        return read_only_heatmap(self._call(self._explain.Explain, request, timeout))
