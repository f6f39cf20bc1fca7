"""What the service computes from a bundle, embeddings and heat maps, is the trained network's, at any batch size."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from farnear_service.bundle import load_bundle
from farnear_service.embedder import Embedder
from farnear_service.explain import Explainer
from farnear_training import data
from farnear_training.export import Provenance, export
from farnear_training.models import NETWORKS, EfficientNetLite0, Network, StridedCnn, WeightsError, build
from numpy.typing import NDArray

PACKS = Path(os.environ.get("FARNEAR_DATA", Path(__file__).parents[3] / "shared" / "data"))
PACK = "neu_steel.tar"
# Name, pixels, D.
CASES = {
    "mn-pair-cnn": ("mn-pair-cnn", 160, 16),
    "strided-cnn": ("strided-cnn", 32, 32),
    "strided-cnn, odd sides": ("strided-cnn", 28, 32),
    "efficientnet-lite0": ("efficientnet-lite0", 64, 16),
}
Images = Callable[[int], NDArray[np.uint8]]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A network, and what the service makes of its bundle."""

    network: Network
    embedder: Embedder
    explainer: Explainer


@pytest.fixture(scope="module")
def steel() -> Images:
    if not (PACKS / PACK).exists():
        pytest.skip(f"{PACK} is not in {PACKS} (FARNEAR_DATA)")
    return lambda size: data.load(PACKS / PACK, size, size, threads=2).images[::28]


@pytest.fixture(scope="module")
def noise() -> Images:
    return lambda size: np.random.default_rng(0).integers(0, 256, (64, size, size, 3), np.uint8)


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, noise: Images, tmp_path_factory: pytest.TempPathFactory) -> Case:
    name, size, dim = CASES[request.param]
    torch.manual_seed(0)
    try:
        network = build(name, image_size=size, embedding_dim=dim)
    except WeightsError as error:
        pytest.skip(str(error))
    if isinstance(network, StridedCnn):
        for norm in network.norms:
            norm.momentum = None  # the plain mean of what it sees, as after a long training
        with torch.no_grad():
            network(torch.from_numpy(noise(size)[:16]))
    if isinstance(network, EfficientNetLite0):
        torch.nn.init.uniform_(network.head.bias, -1, 1)  # as after some training
    path = tmp_path_factory.mktemp("congruence") / "bundle"
    provenance = Provenance(name="b", class_names=[], training={}, dataset={}, evaluation={}, split={})
    export(network, path, provenance, parity_images=noise(size)[:2])
    bundle = load_bundle(path)
    return Case(network=network.eval(), embedder=Embedder(bundle, threads=1), explainer=Explainer(bundle, threads=1))


@pytest.fixture(params=["noise", "steel"])
def images(request: pytest.FixtureRequest, case: Case) -> NDArray[np.uint8]:
    made: Images = request.getfixturevalue(request.param)
    return made(case.network.image_size)


def test_every_network_is_compared() -> None:
    assert {name for name, _, _ in CASES.values()} == set(NETWORKS)


@pytest.mark.parametrize("size", [1, 7, 64])
def test_embeddings_are_equal(case: Case, images: NDArray[np.uint8], size: int) -> None:
    found = np.stack(case.embedder.embed(list(images[:size])))
    with torch.inference_mode():
        expected = case.network(torch.from_numpy(images[:size])).embedding.numpy()
    assert found.shape == (size, case.network.embedding_dim)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("size", [1, 7])
def test_heat_maps_equal_the_gradient(case: Case, images: NDArray[np.uint8], size: int) -> None:
    batch = list(images[:size])
    assert case.network.closed_form
    served, explained = case.embedder.heatmaps(batch), case.explainer.heatmaps(batch)
    for image, *heatmaps in zip(batch, served, explained, strict=True):
        _, features, reduction, _ = case.network(torch.from_numpy(image[None]))
        (gradient,) = torch.autograd.grad((reduction**2).sum(), features)
        expected = torch.zeros_like(features[0, 0])
        for layer, slope in zip(features[0], gradient[0], strict=True):
            expected += slope.mean() * layer
        expected = expected.clamp(min=0).detach().numpy()
        assert expected.max() > 0
        for heatmap in heatmaps:
            allowed = case.network.heatmap_tolerance * expected.max()
            np.testing.assert_allclose(heatmap, expected, rtol=0, atol=allowed)


@pytest.mark.parametrize("size", [1, 7])
def test_heat_maps_of_pairs_equal_the_gradient(case: Case, images: NDArray[np.uint8], size: int) -> None:
    batch = list(images[:size])
    targets = unit_vectors(3, case.network.embedding_dim)
    expected = np.empty((size, 3, *case.embedder.heatmaps(batch)[0].shape), np.float32)
    for row, image in zip(expected, batch, strict=True):
        _, features, _, vector = case.network(torch.from_numpy(image[None]))
        length = float(vector.detach().norm())
        for place, target in enumerate(torch.from_numpy(targets)):
            (gradient,) = torch.autograd.grad(vector[0] @ target / length, features, retain_graph=True)
            heatmap = torch.zeros_like(features[0, 0])
            for layer, slope in zip(features[0], gradient[0], strict=True):
                heatmap += slope.mean() * layer
            row[place] = heatmap.detach().numpy()
    assert expected.min() < 0
    allowed = case.network.heatmap_tolerance * float(np.abs(expected).max())
    for found in (case.embedder, case.explainer):
        np.testing.assert_allclose(found.pair_heatmaps(batch, targets), expected, rtol=0, atol=allowed)


@pytest.mark.parametrize("case", ["efficientnet-lite0"], indirect=True)
def test_places_and_bias_add_up_to_the_cosine(case: Case, images: NDArray[np.uint8]) -> None:
    """Where the vector is linear in pooled features (Zhu et al. 2019)."""
    assert isinstance(case.network, EfficientNetLite0)
    batch, targets = list(images[:7]), unit_vectors(5, case.network.embedding_dim)
    with torch.no_grad():
        lengths = case.network(torch.from_numpy(images[:7])).vector.norm(dim=1, keepdim=True).numpy()
    bias_shares = targets @ case.network.head.bias.detach().numpy() / lengths
    assert np.abs(bias_shares).max() > 0.01
    cosines = np.stack(case.embedder.embed(batch)) @ targets.T
    for found in (case.embedder, case.explainer):
        sums = found.pair_heatmaps(batch, targets).sum(axis=(2, 3))
        np.testing.assert_allclose(sums + bias_shares, cosines, atol=1e-4)


def unit_vectors(count: int, dim: int) -> NDArray[np.float32]:
    drawn = np.random.default_rng(1).normal(size=(count, dim)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
