"""The calls that draw heat maps; `farnear.client.explain` describes them."""
# ruff: noqa: ASYNC109 - the timeout travels with the call as its deadline, which asyncio.timeout cannot tell a service

from collections.abc import Sequence

from farnear.aio.connection import Connection
from farnear.inputs import Query
from farnear.results import Explanation, Heatmap
from farnear.wire.explain import read_explanations, read_heatmap, to_explain_request


class ExplainCalls(Connection):
    """Heat maps: where in an image its embedding comes from."""

    async def explain(
        self, collection: str, queries: Sequence[Query], *, overlay: bool = False, timeout: float | None = None
    ) -> list[Explanation]:
        """A heat map for each query; see `Client.explain`."""
        request = to_explain_request(collection, queries, overlay)
        return read_explanations(await self._call(self._explain.Explain, request, timeout))

    async def heatmap(
        self, collection: str, query: Query, *, overlay: bool = False, timeout: float | None = None
    ) -> Heatmap:
        """The heat map of one query; see `Client.heatmap`."""
        request = to_explain_request(collection, [query], overlay)
        return read_heatmap(await self._call(self._explain.Explain, request, timeout))
