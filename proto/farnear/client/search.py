"""The calls that search."""

from collections.abc import Iterator, Sequence

from farnear.client.connection import Connection
from farnear.filters import Where
from farnear.inputs import Direction, ExplainHits, Query
from farnear.results import Hit, SearchResult
from farnear.wire.search import read_search_result, read_search_results, to_search_request


class SearchCalls(Connection):
    """Searches at both ends of the cosine scale."""

    def search(
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
        """The k items most similar to, most divergent from, or both, for each query.

        Args:
            collection: Where to search.
            queries: 1 to 1,000 images, item ids or vectors, at most 64 MiB together.
            direction: Which end of the cosine scale.
            k: Hits in each list, 1 to 1,000; fewer come where fewer items are left or match.
            where: Which items count, before they are ranked; see the class.
            explain: Heat maps of the hits, of at most 100 in all, in the same answer; None for none.
            timeout: See the class.

        Returns:
            One result for each query, in order. A refused query has its `error` set; its neighbours are served.
        """
        request = to_search_request(collection, queries, direction, k, where, explain)
        return read_search_results(request, self._call(self._search.Search, request, timeout))

    def search_pages(
        self,
        collection: str,
        query: Query,
        *,
        direction: Direction,
        k: int = 10,
        where: Where | None = None,
        explain: ExplainHits | None = None,
        timeout: float | None = None,
    ) -> Iterator[SearchResult]:
        """All items by their similarity to one query, k at each end a page, fetched as they are consumed.

        A page goes on behind the last hit of the one before, whatever was written in between.

        Example:
            >>> for page in client.search_pages("cells", ItemId("a.png"), direction=Direction.DIVERGENT, k=1000):
            ...     for hit in page.divergent:
            ...         print(hit.rank, hit.item_id)
        """
        request = to_search_request(collection, [query], direction, k, where, explain)
        behind = 0
        while True:
            response = self._call(self._search.Search, request, timeout)
            yield read_search_result(request, response, behind=behind)
            request.page_token = response.results[0].next_page_token
            if not request.page_token:
                return
            behind += k

    def similar(
        self,
        collection: str,
        query: Query,
        *,
        k: int = 10,
        where: Where | None = None,
        explain: ExplainHits | None = None,
        timeout: float | None = None,
    ) -> tuple[Hit, ...]:
        """The k items most similar to one query, highest cosine similarity first."""
        return self._ask(collection, query, Direction.SIMILAR, k, where, explain, timeout).similar

    def divergent(
        self,
        collection: str,
        query: Query,
        *,
        k: int = 10,
        where: Where | None = None,
        explain: ExplainHits | None = None,
        timeout: float | None = None,
    ) -> tuple[Hit, ...]:
        """The k items most divergent from one query, lowest cosine similarity first."""
        return self._ask(collection, query, Direction.DIVERGENT, k, where, explain, timeout).divergent

    def both(
        self,
        collection: str,
        query: Query,
        *,
        k: int = 10,
        where: Where | None = None,
        explain: ExplainHits | None = None,
        timeout: float | None = None,
    ) -> SearchResult:
        """Both ends for one query: the k most similar and the k most divergent items."""
        return self._ask(collection, query, Direction.BOTH, k, where, explain, timeout)

    def _ask(
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
        return read_search_result(request, self._call(self._search.Search, request, timeout))
