"""The calls that draw heat maps; `farnear.client.explain` describes them."""
# ruff: noqa: ASYNC109 - the timeout travels with the call as its deadline, which asyncio.timeout cannot tell a service

from collections.abc import Sequence

from farnear.aio.connection import Connection
from farnear.inputs import ExplainTarget, HeatmapPicture, Query
from farnear.results import Explanation, Heatmap
from farnear.wire.explain import read_explanations, read_only_heatmap, to_explain_request


class ExplainCalls(Connection):
    """Heat maps: where in an image its embedding comes from, and its likeness to another."""

    async def explain(
        self,
        collection: str,
        queries: Sequence[Query],
        *,
        target: ExplainTarget = ExplainTarget.SELF,
        others: Sequence[Query] = (),
        picture: HeatmapPicture | None = None,
        timeout: float | None = None,
    ) -> list[Explanation]:
        """A heat map for each query; see `Client.explain`."""
        request = to_explain_request(collection, queries, target=target, others=others, picture=picture)
        return read_explanations(request, await self._call(self._explain.Explain, request, timeout))

    async def heatmap(
        self, collection: str, query: Query, *, picture: HeatmapPicture | None = None, timeout: float | None = None
    ) -> Heatmap:
        """Where in one image its embedding comes from; see `Client.heatmap`."""
        request = to_explain_request(collection, [query], picture=picture)
        return read_only_heatmap(await self._call(self._explain.Explain, request, timeout))
