import io
from typing import Any

import numpy as np
import pytest
from farnear_training.evaluate.figures import (
    confusion_matrix,
    map_by_class,
    map_by_cluster,
    perturbation_curves,
    training_curve,
)
from numpy.typing import NDArray
from PIL import Image

HISTORY = [{"step": 10, "loss": 1.5, "map_at_r": 0.2}, {"step": 20, "loss": 1.0, "map_at_r": 0.3}]
NOISE = (0xB4, 0xB9, 0xBF)


def pixels(png: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
        return np.asarray(image.convert("RGB"))


def coloured(png: bytes, colour: tuple[int, int, int]) -> int:
    """How many pixels have exactly that colour."""
    return int((pixels(png) == colour).all(axis=2).sum())


def test_a_curve_has_a_panel_for_the_loss_and_one_for_the_measures() -> None:
    both = training_curve(HISTORY)
    alone = training_curve([{key: record[key] for key in ("step", "map_at_r")} for record in HISTORY])
    assert both is not None
    assert alone is not None
    assert pixels(both).shape[1] == 2 * pixels(alone).shape[1]


@pytest.mark.parametrize(
    "history",
    [None, [], "text", {"step": 1}, HISTORY[:1], [{"step": 1}, {"step": 2}], [[1, 2], [3, 4]], [None, 1.0]]
    + [[{"step": step, "loss": value} for step in (1, 2)] for value in (None, "low", float("nan"), float("inf"))],
)
def test_without_two_points_there_is_no_curve(history: Any) -> None:
    assert training_curve(history) is None


def test_gaps_in_the_history_are_passed_over() -> None:
    assert training_curve([{"step": 0, "map_at_r": None}, *HISTORY, {"loss": 3.0}]) is not None


def test_noise_is_grey_and_clusters_have_colours() -> None:
    positions = np.random.default_rng(0).normal(scale=20, size=(60, 2))
    clusters = np.arange(60) % 3 - 1
    drawn = map_by_cluster(positions, clusters)
    assert coloured(drawn, NOISE)
    assert coloured(drawn, (0x00, 0x72, 0xB2))
    assert coloured(drawn, (0xE6, 0x9F, 0x00))
    assert not coloured(map_by_cluster(positions, clusters + 1), NOISE)
    assert not coloured(map_by_class(positions, clusters + 1, ["a", "b", "c"]), NOISE)


@pytest.mark.parametrize("spread", [[1, 1], [1, 0], [0, 1], [0, 0], [100, 1]])
def test_both_maps_have_the_same_size_whatever_lies_on_them(spread: list[int]) -> None:
    positions = np.random.default_rng(0).normal(size=(40, 2)) * spread
    by_cluster = map_by_cluster(positions, np.full(40, -1))
    by_class = map_by_class(positions, np.arange(40) % 30, [f"class {number}" for number in range(31)])
    assert pixels(by_cluster).shape == pixels(by_class).shape


def test_names_are_no_formulas() -> None:
    names = [r"$\frac$", "a_b", "$x$", "n" * 200]
    assert pixels(map_by_class(np.eye(4, 2), np.arange(4), names)).size
    assert pixels(confusion_matrix(np.eye(4, dtype=np.int64), names)).size


@pytest.mark.parametrize("count", [1, 2, 60])
def test_a_confusion_matrix_of_any_size_is_drawn(count: int) -> None:
    counts = np.zeros((count, count), np.int64)  # a class without images too
    counts[0, 0] = 5
    drawn = pixels(confusion_matrix(counts, [f"class {number}" for number in range(count)]))
    assert max(drawn.shape) < 2000
    assert (drawn == (0x08, 0x30, 0x6B)).all(axis=2).any()  # the darkest blue of the scale: a whole row in one place


def test_each_curve_has_a_panel_with_a_line_for_each_contender() -> None:
    lines = {"own": [1.0, 0.5, 0.0], "other": [1.0, 0.9, 0.0]}
    names = {"own": "this", "other": "that"}
    both = perturbation_curves([0, 0.5, 1], {"deletion": lines, "insertion": lines}, names)
    alone = perturbation_curves([0, 0.5, 1], {"deletion": {"own": lines["own"]}}, names)
    assert pixels(both).shape[1] == 2 * pixels(alone).shape[1]
    assert coloured(both, (0xE6, 0x9F, 0x00))
    assert not coloured(alone, (0xE6, 0x9F, 0x00))
