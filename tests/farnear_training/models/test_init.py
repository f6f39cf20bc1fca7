from collections.abc import Callable

import pytest
import torch
from farnear_training.models import NETWORKS, MnPairCnn, Network, build
from torch import Tensor
from torch.nn import functional

CASES = [
    ("mn-pair-cnn", 24, 5),
    ("strided-cnn", 32, 32),
    ("strided-cnn", 28, 32),
    ("strided-cnn", 33, 9),
    ("efficientnet-lite0", 64, 16),
]


@pytest.fixture(scope="module", params=CASES, ids=[f"{name}-{size}" for name, size, _ in CASES])
def network(request: pytest.FixtureRequest, settled: Callable[[Network], Network]) -> Network:
    name, size, dim = request.param
    torch.manual_seed(0)
    return settled(build(name, image_size=size, embedding_dim=dim, pretrained=False))


def test_every_network_is_tested() -> None:
    assert {name for name, _, _ in CASES} == set(NETWORKS)


def test_embeddings_have_unit_length_and_tell_images_apart(
    network: Network, make_noise: Callable[[int, int], Tensor]
) -> None:
    with torch.no_grad():
        outputs = network(make_noise(3, network.image_size))
    assert outputs.embedding.shape == (3, network.embedding_dim)
    assert outputs.embedding.dtype == torch.float32
    torch.testing.assert_close(outputs.embedding.norm(dim=1), torch.ones(3))
    assert torch.pdist(outputs.embedding).min() > 1e-3


def test_heat_maps_equal_the_gradient_place_by_place(
    network: Network, make_noise: Callable[[int, int], Tensor]
) -> None:
    outputs = network(make_noise(4, network.image_size))
    (gradient,) = torch.autograd.grad((outputs.reduction**2).sum(), outputs.features, retain_graph=True)
    found = network.heatmaps(outputs).detach()
    assert network.closed_form
    assert found.shape == outputs.features[:, 0].shape
    for image, heatmap in enumerate(found):
        expected = torch.zeros_like(heatmap)
        for layer, slope in zip(outputs.features[image], gradient[image], strict=True):
            expected += slope.mean() * layer.detach()
        expected = expected.clamp(min=0)
        assert expected.max() > 0
        torch.testing.assert_close(heatmap, expected, rtol=0, atol=1e-5 * expected.max().item())


def test_heat_maps_of_pairs_equal_the_gradient_place_by_place(
    network: Network, make_noise: Callable[[int, int], Tensor]
) -> None:
    outputs = network(make_noise(4, network.image_size))
    generator = torch.Generator().manual_seed(1)
    targets = functional.normalize(torch.randn(3, network.embedding_dim, generator=generator))
    found = network.pair_heatmaps(outputs, targets).detach()
    assert found.shape == (4, 3, *outputs.features.shape[2:])
    for image in range(4):
        length = float(outputs.vector[image].detach().norm())
        for target, heatmap in zip(targets, found[image], strict=True):
            cosine = sum(a * b for a, b in zip(outputs.vector[image], target, strict=True)) / length
            assert float(cosine.detach()) == pytest.approx(float(outputs.embedding[image].detach() @ target), abs=1e-6)
            (gradient,) = torch.autograd.grad(cosine, outputs.features, retain_graph=True)
            expected = torch.zeros_like(heatmap)
            for layer, slope in zip(outputs.features[image], gradient[image], strict=True):
                expected += slope.mean() * layer.detach()
            torch.testing.assert_close(heatmap, expected, rtol=0, atol=1e-5 * expected.abs().max().item())
            assert heatmap.abs().max() > 0
    opposite = network.pair_heatmaps(outputs, -targets).detach()
    torch.testing.assert_close(opposite, -found)
    assert (network.pair_heatmaps(outputs, torch.zeros_like(targets)) == 0).all()


def test_every_weight_is_learned(network: Network, make_noise: Callable[[int, int], Tensor]) -> None:
    network.zero_grad()
    embedding = network(make_noise(4, network.image_size)).embedding
    (embedding[0] @ embedding[1]).backward()
    for name, weights in network.named_parameters():
        assert weights.grad is not None, name
        assert weights.grad.abs().max() > 0, name


def test_a_network_is_built_by_its_name() -> None:
    model = build("mn-pair-cnn", image_size=16, embedding_dim=4)
    assert type(model) is MnPairCnn
    assert (model.name, model.image_size, model.embedding_dim) == ("mn-pair-cnn", 16, 4)


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(ValueError, match="network: 'resnet'; allowed are mn-pair-cnn, strided-cnn, efficientnet-lite0"):
        build("resnet", image_size=32, embedding_dim=16)


@pytest.mark.parametrize("network_name", NETWORKS)
def test_a_vector_of_one_value_is_refused(network_name: str) -> None:
    with pytest.raises(ValueError, match="embedding_dim: 1; allowed is 2 or more"):
        build(network_name, image_size=32, embedding_dim=1, pretrained=False)
