import numpy as np
from farnear.v1 import search_pb2
from farnear_service.errors import NotFoundError, PreconditionError
from farnear_service.pipeline import Answer
from farnear_service.rpc.hits import hit_messages, search_message
from farnear_service.types import Certificate, Explanation, Heatmap, Hit, Hits, SearchResult


def test_search_results() -> None:
    hits = tuple(
        Hit(key=i, item_id=f"h{i}", label="l", similarity=0.5, cluster=cluster)
        for i, cluster in enumerate((None, -1, 0))
    )
    measured = Certificate(recall=0.5, k=10, queries=100, time=2.0)
    both = SearchResult(similar=Hits(hits=hits), divergent=Hits(hits=hits[:1], certificate=measured))
    message = search_message(Answer(result=both, behind=None), "more")
    assert [(hit.rank, hit.item_id) for hit in message.similar] == [(1, "h0"), (2, "h1"), (3, "h2")]
    assert [hit.HasField("cluster") for hit in message.similar] == [False, True, True]
    assert len(message.divergent) == 1
    assert message.certificate == search_pb2.Certificate(exact=True)
    certificate = message.divergent_certificate
    assert (certificate.exact, certificate.recall, certificate.calibration_k) == (False, 0.5, 10)
    assert (certificate.calibration_queries, certificate.calibration_time.seconds) == (100, 2)
    assert message.next_page_token == "more"  # noqa: S105 - no password
    assert not message.HasField("error")
    one_end = SearchResult(divergent=Hits(certificate=measured))
    message = search_message(Answer(result=one_end, behind=None), "")
    assert message.certificate == message.divergent_certificate == certificate
    message = search_message(Answer(result=SearchResult(similar=Hits()), behind=None), "")
    assert message.certificate.exact
    assert not message.HasField("divergent_certificate")
    refused = search_message(NotFoundError("item_id: none"), "")
    assert (refused.error.code, refused.error.message) == (5, "item_id: none")
    assert not refused.HasField("certificate")


def test_heat_maps_of_hits() -> None:
    hit = Hit(key=1, item_id="a", label="", similarity=0.5)
    own, other = (Heatmap(values=np.full((1, 2), value, np.float32)) for value in (1, 2))
    plain, alone, pair, tied, refused = hit_messages(
        [
            hit,
            hit._replace(explanation=Explanation(heatmap=own)),
            hit._replace(explanation=Explanation(heatmap=own, other_heatmap=other, similarity=0.5)),
            hit._replace(explanation=Explanation(heatmap=own, other_heatmap=other, cluster=0)),
            hit._replace(explanation=PreconditionError("item_id: not kept")),
        ]
    )
    fields = ("heatmap", "query_heatmap", "heatmap_error")
    assert [[field for field in fields if message.HasField(field)] for message in (plain, alone, pair)] == [
        [],
        ["heatmap"],
        ["heatmap", "query_heatmap"],
    ]
    assert (list(pair.heatmap.values), list(pair.query_heatmap.values)) == ([1, 1], [2, 2])
    assert not tied.HasField("query_heatmap")  # the other side is a medoid's
    assert not refused.HasField("heatmap")
    assert (refused.heatmap_error.code, refused.heatmap_error.message) == (9, "item_id: not kept")
    result = SearchResult(similar=Hits(hits=(hit,)), heatmap=other)
    message = search_message(Answer(result=result, behind=None), "")
    assert list(message.query_heatmap.values) == [2, 2]
