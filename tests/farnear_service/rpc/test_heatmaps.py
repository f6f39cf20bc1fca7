import numpy as np
import pytest
from farnear.v1 import explain_pb2
from farnear_service.errors import InvalidError
from farnear_service.pipeline import ExplainHits
from farnear_service.rpc import heatmaps
from farnear_service.types import ExplainTarget, Explanation, Heatmap, HeatmapPicture


def test_targets_and_pictures() -> None:
    for name, number in explain_pb2.ExplainTarget.items():
        assert heatmaps.target(number) is getattr(ExplainTarget, name.removeprefix("EXPLAIN_TARGET_"), None)
    for name, number in explain_pb2.HeatmapPicture.items():
        assert heatmaps.picture(number) is getattr(HeatmapPicture, name.removeprefix("HEATMAP_PICTURE_"), None)
    with pytest.raises(InvalidError, match="target: is 9; allowed are 0, 1, 2, 3, 4"):
        heatmaps.target(9)
    with pytest.raises(InvalidError, match="picture: is 3; allowed are 0, 1, 2"):
        heatmaps.picture(3)


def test_what_is_explained_of_hits() -> None:
    assert heatmaps.explain_hits(explain_pb2.ExplainHits()) == ExplainHits()
    asked = explain_pb2.ExplainHits(
        target=explain_pb2.EXPLAIN_TARGET_CLUSTER, picture=explain_pb2.HEATMAP_PICTURE_OVERLAY
    )
    assert heatmaps.explain_hits(asked) == ExplainHits(target=ExplainTarget.CLUSTER, picture=HeatmapPicture.OVERLAY)


def test_heatmaps_row_by_row() -> None:
    values = np.arange(-2, 4, dtype=np.float32).reshape(2, 3)
    message = heatmaps.heatmap_message(Heatmap(values=values, picture=b"png"))
    assert (message.height, message.width, message.picture_png) == (2, 3, b"png")
    assert list(message.values) == [-2, -1, 0, 1, 2, 3]
    assert (message.least, message.greatest) == (-2, 3)


def test_explanations() -> None:
    heatmap = Heatmap(values=np.ones((1, 1), np.float32))
    alone = heatmaps.explanation_message(Explanation(heatmap=heatmap))
    assert alone == explain_pb2.ExplainResult(heatmap=heatmaps.heatmap_message(heatmap))
    other = Heatmap(values=np.zeros((1, 1), np.float32))
    tied = heatmaps.explanation_message(
        Explanation(heatmap=heatmap, other_heatmap=other, similarity=-0.5, cluster=0, other_item_id="m")
    )
    assert (tied.similarity, tied.HasField("cluster"), tied.cluster, tied.other_item_id) == (-0.5, True, 0, "m")
    assert tied.other_heatmap == heatmaps.heatmap_message(other)
    refused = heatmaps.explanation_message(InvalidError("x"))
    assert (refused.error.code, refused.HasField("heatmap")) == (3, False)
