import pytest
from farnear import Client, InvalidArgumentError, ItemId


def test_explain_answers_each_query(client: Client, cells: str) -> None:
    explanations = client.explain(cells, [b"img 3 -4 0", b"junk", ItemId("c")])
    heatmap = explanations[0].heatmap
    assert heatmap is not None
    assert (heatmap.height, heatmap.width, heatmap.overlay_png) == (1, 3, None)
    assert heatmap.values == pytest.approx((0.6, 0.8, 0.0))
    assert (explanations[1].heatmap, type(explanations[1].error)) == (None, InvalidArgumentError)
    assert explanations[2].error is None


def test_a_heatmap_can_be_drawn_over_its_image(client: Client, cells: str) -> None:
    assert client.heatmap(cells, ItemId("a"), overlay=True).overlay_png == b"\x89PNG overlay"
    with pytest.raises(InvalidArgumentError, match="not an image"):
        client.heatmap(cells, b"junk")
