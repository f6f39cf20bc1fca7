from pathlib import Path

import numpy as np
import pytest
import torch
from farnear_training.data import Dataset
from farnear_training.evaluate.bundle import load_bundle
from farnear_training.evaluate.faithfulness import contenders, enlarged, judge
from farnear_training.evaluate.graph import Graph
from farnear_training.evaluate.perturbation import MEASURES, curves

from tests.farnear_training.evaluate.conftest import QUICK


def test_enlarged_as_torch_does() -> None:
    maps = np.random.default_rng(0).random((3, 4, 5), np.float32)
    expected = torch.nn.functional.interpolate(torch.from_numpy(maps)[:, None], (16, 25), mode="bilinear")[:, 0]
    np.testing.assert_allclose(enlarged(maps, 16, 25), expected.numpy(), atol=1e-6)


def test_the_others_know_nothing_of_the_image() -> None:
    heatmaps = np.random.default_rng(0).random((2, 4, 4), np.float32)
    first, other = contenders(heatmaps, 16, 20, seed=0), contenders(heatmaps[::-1], 16, 20, seed=0)
    np.testing.assert_array_equal(first["heatmap"], enlarged(heatmaps, 16, 20))
    np.testing.assert_array_equal(first["random"], other["random"])
    assert (first["random"] != contenders(heatmaps, 16, 20, seed=1)["random"]).any()
    centre = first["centre"][0]
    assert {tuple(place) for place in np.argwhere(centre == centre.max())} == {(7, 9), (7, 10), (8, 9), (8, 10)}
    np.testing.assert_array_equal(centre, centre[::-1, ::-1])


def test_figures_are_means_over_the_images_and_differences_are_paired(bundle: Path, stripes: Dataset) -> None:
    graph, images = Graph(load_bundle(bundle), threads=1), stripes.images[::6]
    found = judge(graph, images, QUICK)
    assert found.image_count == 8
    maps = contenders(graph.heatmaps(images), 16, 16, QUICK.seed)
    plain = {name: curves(images, one, graph.embed, seed=QUICK.seed) for name, one in maps.items()}
    for name, of_one in plain.items():
        for measure, values in zip(MEASURES, of_one.scores().T, strict=True):
            assert found.scores[name][measure].value == pytest.approx(values.mean())
            assert found.scores[name][measure].low < values.mean() < found.scores[name][measure].high
        assert found.curves["deletion"][name] == pytest.approx(of_one.deletion.mean(axis=0).tolist())
    assert found.gains.keys() == {"random", "centre"}
    gain = found.gains["centre"]["insertion"]
    assert gain.value == pytest.approx((plain["heatmap"].scores() - plain["centre"].scores())[:, 1].mean())
    assert gain.low < gain.value < gain.high
