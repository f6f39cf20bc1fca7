"""Hits in the words of the contract, with what is promised of them and where they come from."""

from collections.abc import Sequence

from farnear.v1 import search_pb2

from farnear_service.errors import ServiceError
from farnear_service.pipeline import Answer
from farnear_service.rpc.heatmaps import heatmap_message
from farnear_service.rpc.status import item_error
from farnear_service.rpc.wire import timestamp
from farnear_service.types import Certificate, Hit, Hits


def search_message(answer: Answer | ServiceError, next_page_token: str) -> search_pb2.SearchResult:
    """The answer to one query."""
    if isinstance(answer, ServiceError):
        return search_pb2.SearchResult(error=item_error(answer))
    similar, divergent = answer.result.similar, answer.result.divergent
    return search_pb2.SearchResult(
        similar=hit_messages(similar.hits) if similar else (),
        divergent=hit_messages(divergent.hits) if divergent else (),
        certificate=_certificate(similar or divergent),
        divergent_certificate=_certificate(divergent),
        next_page_token=next_page_token,
        query_heatmap=None if answer.result.heatmap is None else heatmap_message(answer.result.heatmap),
    )


def hit_messages(hits: Sequence[Hit]) -> list[search_pb2.Hit]:
    """Hits in order, with their ranks."""
    return [_hit(rank, hit) for rank, hit in enumerate(hits, 1)]


def _hit(rank: int, hit: Hit) -> search_pb2.Hit:
    message = search_pb2.Hit(
        rank=rank, item_id=hit.item_id, similarity=hit.similarity, label=hit.label, cluster=hit.cluster
    )
    explanation = hit.explanation
    if isinstance(explanation, ServiceError):
        message.heatmap_error.CopyFrom(item_error(explanation))
    elif explanation is not None:
        message.heatmap.CopyFrom(heatmap_message(explanation.heatmap))
        if explanation.other_heatmap is not None and explanation.cluster is None:
            message.query_heatmap.CopyFrom(heatmap_message(explanation.other_heatmap))
    return message


def _certificate(found: Hits | None) -> search_pb2.Certificate | None:
    if found is None:
        return None
    if found.certificate is None:
        return search_pb2.Certificate(exact=True)
    certificate: Certificate = found.certificate
    return search_pb2.Certificate(
        recall=certificate.recall,
        calibration_k=certificate.k,
        calibration_queries=certificate.queries,
        calibration_time=timestamp(certificate.time),
    )
