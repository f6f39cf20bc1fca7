# ruff: noqa: N802 - servicer methods are named by the contract
from typing import Any

import grpc
import numpy as np
from farnear.v1 import recommend_pb2

from tests.farnear.fake.base import EntryError, made, resolve, status
from tests.farnear.fake.explain import FakeExplain
from tests.farnear.fake.filters import matching
from tests.farnear.fake.search import hits


class FakeRecommend(FakeExplain):
    def Recommend(self, request: Any, context: Any) -> recommend_pb2.RecommendResponse:
        """Toward what was liked and away from what was disliked, whatever the mode."""
        self.enter("Recommend", request, context)
        stored = self.collection(request.collection, context)
        if (request.mode != recommend_pb2.RECOMMEND_MODE_UNSPECIFIED) == request.HasField("novelty"):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "mode, novelty: allowed is one of them")
        history = stored.interactions.get(request.user, {})
        direction = np.zeros(3)
        for sign, queries, opinion in (
            (1, request.liked, recommend_pb2.OPINION_LIKED),
            (-1, request.disliked, recommend_pb2.OPINION_DISLIKED),
        ):
            try:
                vectors = [resolve(stored, query)[0] for query in queries]
            except EntryError as error:
                context.abort(status(error.message.code), error.message.message)
            vectors += [stored.items[name].vector for name, entry in history.items() if entry.opinion == opinion]
            direction += sign * np.sum(vectors, axis=0) if vectors else 0
        seen = {*history, *request.seen_item_ids, *(query.item_id for query in (*request.liked, *request.disliked))}
        left = [name for name in matching(stored, request, context) if name not in seen]
        length = np.linalg.norm(direction) or 1.0
        relevance = np.array([stored.items[name].vector @ direction / length for name in left])
        order = np.argsort(-relevance, kind="stable")[: request.k]
        found = hits(stored, left, relevance, order)
        if request.HasField("explain"):
            self.explain_hits(stored, None, found, request.explain)
        return recommend_pb2.RecommendResponse(hits=found)

    def RecordInteractions(self, request: Any, context: Any) -> recommend_pb2.RecordInteractionsResponse:
        self.enter("RecordInteractions", request, context)
        stored = self.collection(request.collection, context)
        for entry in request.interactions:
            if entry.item_id not in stored.items:
                context.abort(grpc.StatusCode.NOT_FOUND, f"interactions: {entry.item_id!r} is not there")
        kept = stored.interactions.setdefault(request.user, {})
        for entry in request.interactions:
            kept[entry.item_id] = recommend_pb2.Interaction(
                item_id=entry.item_id, opinion=entry.opinion, time=entry.time if entry.HasField("time") else made()
            )
        return recommend_pb2.RecordInteractionsResponse()

    def ListInteractions(self, request: Any, context: Any) -> recommend_pb2.ListInteractionsResponse:
        self.enter("ListInteractions", request, context)
        kept = self.collection(request.collection, context).interactions.get(request.user, {})
        newest_first = sorted(kept.values(), key=lambda entry: (-entry.time.ToNanoseconds(), entry.item_id))
        entries, token = self.page(newest_first, request.page_token)
        return recommend_pb2.ListInteractionsResponse(interactions=entries, next_page_token=token)

    def DeleteInteractions(self, request: Any, context: Any) -> recommend_pb2.DeleteInteractionsResponse:
        self.enter("DeleteInteractions", request, context)
        kept = self.collection(request.collection, context).interactions.pop(request.user, {})
        return recommend_pb2.DeleteInteractionsResponse(deleted_count=len(kept))
