from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from farnear_training.data import Dataset
from farnear_training.models import EfficientNetLite0, build
from farnear_training.train import frozen, loop
from farnear_training.train.frozen import head_alone
from farnear_training.train.settings import TrainSettings
from torch import Tensor

SIZE = 32


@pytest.fixture(scope="module")
def large(stripes: Dataset) -> Dataset:
    """Half of the stripes, at the smallest size that the backbone takes."""
    images = stripes.images.repeat(2, axis=1).repeat(2, axis=2)
    return replace(stripes, images=images).subset(np.arange(0, 48, 2))


@pytest.fixture(autouse=True)
def _batches_of_sixteen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen, "_BATCH", 16)


@pytest.fixture
def model() -> EfficientNetLite0:
    torch.manual_seed(0)
    return EfficientNetLite0(image_size=SIZE, embedding_dim=4, pretrained=False)


def test_embeddings_are_those_of_the_whole_network(model: EfficientNetLite0, large: Dataset) -> None:
    embed = head_alone(model, large)
    indices = np.array([23, 3, 17, 3])
    expected = model(torch.from_numpy(large.images[indices])).embedding
    torch.testing.assert_close(embed(indices), expected, rtol=0, atol=1e-5)


def test_they_follow_the_head_and_have_its_gradient(model: EfficientNetLite0, large: Dataset) -> None:
    embed = head_alone(model, large)
    with torch.no_grad():
        model.head.bias += 1
    embeddings = embed(np.arange(4))
    torch.testing.assert_close(embeddings, model(torch.from_numpy(large.images[:4])).embedding, rtol=0, atol=1e-5)
    (embeddings[0] @ embeddings[1]).backward()  # type: ignore[no-untyped-call]  # Torch has not typed it
    assert model.head.weight.grad is not None
    assert model.backbone.conv_stem.weight.grad is None


@pytest.fixture
def settings(quick: TrainSettings, monkeypatch: pytest.MonkeyPatch) -> TrainSettings:
    """A frozen network, without weights that need not be installed, and images that nothing changes."""
    monkeypatch.setattr(loop, "build", partial(build, pretrained=False))
    changes = {"network": "efficientnet-lite0", "freeze_backbone": True, "augmentation": "none"}
    return replace(quick, image_size=SIZE, iterations=3, **changes)


def test_a_run_learns_the_same_with_it_and_without(
    large: Dataset, settings: TrainSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches = []
    pooled = EfficientNetLite0.pooled

    def counting(model: EfficientNetLite0, pixels: Tensor) -> Tensor:
        batches.append(len(pixels))
        return pooled(model, pixels)

    monkeypatch.setattr(EfficientNetLite0, "pooled", counting)
    once = loop.train(large, settings, checkpoints=tmp_path / "once")
    assert batches == [16, 8]
    monkeypatch.setattr(loop, "head_alone", lambda model, dataset: None)
    every_step = loop.train(large, settings, checkpoints=tmp_path / "every step")
    assert batches == [16, 8]
    np.testing.assert_allclose(once.losses, every_step.losses, rtol=1e-4)


@pytest.mark.parametrize("changes", [{"augmentation": "random-erasing"}, {"freeze_backbone": False}])
def test_what_changes_goes_through_the_backbone_in_every_step(
    changes: dict[str, Any], large: Dataset, settings: TrainSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "head_alone", None)  # not to be called
    loop.train(large, replace(settings, **changes, iterations=1), checkpoints=tmp_path)
