"""The calls that search; `farnear.client.search` describes them."""
# ruff: noqa: ASYNC109 - the timeout travels with the call as its deadline, which asyncio.timeout cannot tell a service

from collections.abc import AsyncIterator, Sequence

from farnear.aio.connection import Connection
from farnear.filters import Where
from farnear.inputs import Direction, ExplainHits, Query
from farnear.results import Hit, SearchResult
from farnear.wire.search import read_search_result, read_search_results, to_search_request


class SearchCalls(Connection):
    """Searches at both ends of the cosine scale."""

    async def search(
        self,
        collection: str,
        queries: Sequence[Query],
        *,
        direction: Direction,
        k: int = 10,
        where: Where | None = None,
        explain: ExplainHits | None = None,
        timeout: float | None = None,
    ) -> list[SearchResult]:
        """The k items at one or both ends for each query; see `Client.search`."""
        request = to_search_request(collection, queries, direction, k, where, explain)
        return read_search_results(request, await self._call(self._search.Search, request, timeout))

    async def search_pages(
        self,
        collection: str,
        query: Query,
        *,
        direction: Direction,
        k: int = 10,
        where: Where | None = None,
        explain: ExplainHits | None = None,
        timeout: float | None = None,
    ) -> AsyncIterator[SearchResult]:
        """All items by their similarity to one query, page by page; see `Client.search_pages`."""
        request = to_search_request(collection, [query], direction, k, where, explain)
        behind = 0
        while True:
            response = await self._call(self._search.Search, request, timeout)
            yield read_search_result(request, response, behind=behind)
            request.page_token = response.results[0].next_page_token
            if not request.page_token:
                return
            behind += k

    async def similar(
        self,
        collection: str,
        query: Query,
        *,
        k: int = 10,
        where: Where | None = None,
        explain: ExplainHits | None = None,
        timeout: float | None = None,
    ) -> tuple[Hit, ...]:
        """The k items most similar to one query; see `Client.similar`."""
        return (await self._ask(collection, query, Direction.SIMILAR, k, where, explain, timeout)).similar

    async def divergent(
        self,
        collection: str,
        query: Query,
        *,
        k: int = 10,
        where: Where | None = None,
        explain: ExplainHits | None = None,
        timeout: float | None = None,
    ) -> tuple[Hit, ...]:
        """The k items most divergent from one query; see `Client.divergent`."""
        return (await self._ask(collection, query, Direction.DIVERGENT, k, where, explain, timeout)).divergent

    async def both(
        self,
        collection: str,
        query: Query,
        *,
        k: int = 10,
        where: Where | None = None,
        explain: ExplainHits | None = None,
        timeout: float | None = None,
    ) -> SearchResult:
        """Both ends for one query; see `Client.both`."""
        return await self._ask(collection, query, Direction.BOTH, k, where, explain, timeout)

    async def _ask(
        self,
        collection: str,
        query: Query,
        direction: Direction,
        k: int,
        where: Where | None,
        explain: ExplainHits | None,
        timeout: float | None,
    ) -> SearchResult:
        request = to_search_request(collection, [query], direction, k, where, explain)
        return read_search_result(request, await self._call(self._search.Search, request, timeout))
