# ruff: noqa: N802 - servicer methods are named by the contract
from typing import Any

import grpc
import numpy as np
from farnear.v1 import explain_pb2, search_pb2, types_pb2
from numpy.typing import NDArray

from tests.farnear.fake.base import EntryError, FakeBase, StoredCollection, resolve

_PAIRS = (explain_pb2.EXPLAIN_TARGET_PAIR_SIMILAR, explain_pb2.EXPLAIN_TARGET_PAIR_DIVERGENT)


class FakeExplain(FakeBase):
    """A heat map of an image is its vector's absolute values; of a pair, the products with the other's."""

    def Explain(self, request: Any, context: Any) -> explain_pb2.ExplainResponse:
        self.enter("Explain", request, context)
        stored = self.collection(request.collection, context)
        if request.target in _PAIRS and len(request.others) not in {1, len(request.queries)}:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"others: has {len(request.others)} entries")
        results = []
        for place, query in enumerate(request.queries):
            try:
                other = request.others[place % len(request.others)] if request.others else None
                results.append(self._explain(stored, query, other, request))
            except EntryError as error:
                results.append(explain_pb2.ExplainResult(error=error.message))
        return explain_pb2.ExplainResponse(results=results)

    def explain_hits(self, stored: StoredCollection, query: types_pb2.Query, hits: Any, wish: Any) -> None:
        """Gives hits heat maps as pairs with the query, or alone where SELF was asked for."""
        for hit in hits:
            try:
                own = _resolve_image(stored, types_pb2.Query(item_id=hit.item_id))
            except EntryError as error:
                hit.heatmap_error.CopyFrom(error.message)
                continue
            if wish.target == explain_pb2.EXPLAIN_TARGET_SELF or query is None:
                hit.heatmap.CopyFrom(self._heatmap(np.abs(own), wish.picture))
                continue
            other, image = resolve(stored, query)
            hit.heatmap.CopyFrom(self._heatmap(own * other, wish.picture))
            if image is not None:
                hit.query_heatmap.CopyFrom(self._heatmap(own * other, wish.picture))

    def explain_query(self, stored: StoredCollection, result: search_pb2.SearchResult, query: Any, wish: Any) -> None:
        """Gives an answer the query's own heat map, where SELF was asked for and it has an image."""
        vector, image = resolve(stored, query)
        if wish.target == explain_pb2.EXPLAIN_TARGET_SELF and image is not None:
            result.query_heatmap.CopyFrom(self._heatmap(np.abs(vector), wish.picture))

    def _explain(
        self, stored: StoredCollection, query: types_pb2.Query, other: Any, request: Any
    ) -> explain_pb2.ExplainResult:
        vector = _resolve_image(stored, query)
        if request.target in _PAIRS:
            second, image = resolve(stored, other)
            sign = 1 if request.target == explain_pb2.EXPLAIN_TARGET_PAIR_SIMILAR else -1
            heatmap = self._heatmap(sign * vector * second, request.picture)
            return explain_pb2.ExplainResult(
                heatmap=heatmap,
                other_heatmap=None if image is None else heatmap,
                similarity=float(vector @ second),
            )
        if request.target == explain_pb2.EXPLAIN_TARGET_CLUSTER:
            cluster = int(np.argmax(vector))
            members = [name for name, item in stored.items.items() if item.cluster == cluster]
            medoid = stored.items[min(members)]
            heatmap = self._heatmap(vector * medoid.vector, request.picture)
            return explain_pb2.ExplainResult(
                heatmap=heatmap,
                other_heatmap=heatmap,
                similarity=float(vector @ medoid.vector),
                cluster=cluster,
                other_item_id=min(members),
            )
        return explain_pb2.ExplainResult(heatmap=self._heatmap(np.abs(vector), request.picture))

    def _heatmap(self, values: NDArray[np.float32], picture: int) -> explain_pb2.Heatmap:
        pictures = {explain_pb2.HEATMAP_PICTURE_OVERLAY: self.overlay, explain_pb2.HEATMAP_PICTURE_HEATMAP: b"map"}
        return explain_pb2.Heatmap(
            height=1,
            width=3,
            values=values.tolist(),
            picture_png=pictures.get(picture, b""),
            least=float(values.min()),
            greatest=float(values.max()),
        )


def _resolve_image(stored: StoredCollection, query: types_pb2.Query) -> NDArray[np.float32]:
    vector, kept = resolve(stored, query)
    if kept is None:
        raise EntryError(9, "item_id: its image is not kept")
    return vector
