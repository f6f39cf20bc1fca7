# ruff: noqa: N802 - servicer methods are named by the contract
from collections.abc import Sequence
from typing import Any

import grpc
import numpy as np
from farnear.v1 import search_pb2, types_pb2
from numpy.typing import NDArray

from tests.farnear.fake.base import EntryError, StoredCollection, resolve
from tests.farnear.fake.explain import FakeExplain
from tests.farnear.fake.filters import matching


class FakeSearch(FakeExplain):
    def Search(self, request: Any, context: Any) -> search_pb2.SearchResponse:
        self.enter("Search", request, context)
        stored = self.collection(request.collection, context)
        if not 1 <= request.k <= 1000:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"k: {request.k}, allowed are 1 to 1000")
        if request.direction == search_pb2.DIRECTION_UNSPECIFIED:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "direction: UNSPECIFIED")
        if request.page_token and len(request.queries) != 1:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "page_token: with one query only")
        allowed = matching(stored, request, context)
        return search_pb2.SearchResponse(
            results=[self._search(stored, query, request, allowed) for query in request.queries]
        )

    def _search(
        self, stored: StoredCollection, query: types_pb2.Query, request: Any, allowed: list[str]
    ) -> search_pb2.SearchResult:
        try:
            vector, _ = resolve(stored, query)
        except EntryError as error:
            return search_pb2.SearchResult(error=error.message)
        others = [name for name in allowed if name != query.item_id]
        similarities = np.array([stored.items[name].vector @ vector for name in others])
        start = int(request.page_token or 0)
        end = start + request.k
        is_similar = request.direction != search_pb2.DIRECTION_DIVERGENT
        is_divergent = request.direction != search_pb2.DIRECTION_SIMILAR
        similar = np.argsort(-similarities, kind="stable")[start:end]
        divergent = np.argsort(similarities, kind="stable")[start:end]
        result = search_pb2.SearchResult(
            similar=hits(stored, others, similarities, similar) if is_similar else [],
            divergent=hits(stored, others, similarities, divergent) if is_divergent else [],
            certificate=self.similar_certificate if is_similar else self.divergent_certificate,
            divergent_certificate=self.divergent_certificate if is_divergent else None,
            next_page_token=str(end) if end < len(others) and len(request.queries) == 1 else "",
        )
        if request.HasField("explain"):
            self.explain_hits(stored, query, [*result.similar, *result.divergent], request.explain)
            self.explain_query(stored, result, query, request.explain)
        return result


def hits(
    stored: StoredCollection, names: Sequence[str], similarities: NDArray[Any], order: Sequence[int] | NDArray[np.int64]
) -> list[search_pb2.Hit]:
    found = [(names[place], stored.items[names[place]], float(similarities[place])) for place in order]
    return [
        search_pb2.Hit(rank=rank, item_id=name, similarity=similarity, label=item.label, cluster=item.cluster)
        for rank, (name, item, similarity) in enumerate(found, start=1)
    ]
