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
from farnear_training.models import NETWORKS, Network, StridedCnn, WeightsError, build
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
        _, features, reduction = case.network(torch.from_numpy(image[None]))
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
    targets = np.random.default_rng(1).normal(size=(size, case.network.embedding_dim)).astype(np.float32)
    targets /= np.linalg.norm(targets, axis=1, keepdims=True)
    served, explained = case.embedder.pair_heatmaps(batch, targets), case.explainer.pair_heatmaps(batch, targets)
    expected = []
    for image, target in zip(batch, targets, strict=True):
        embedding, features, _ = case.network(torch.from_numpy(image[None]))
        (gradient,) = torch.autograd.grad(torch.cosine_similarity(embedding[0], torch.from_numpy(target), 0), features)
        heatmap = torch.zeros_like(features[0, 0])
        for layer, slope in zip(features[0], gradient[0], strict=True):
            heatmap += slope.mean() * layer
        expected.append(heatmap.detach().numpy())
    assert min(heatmap.min() for heatmap in expected) < 0
    allowed = case.network.heatmap_tolerance * float(np.abs(expected).max())
    np.testing.assert_allclose(served, expected, rtol=0, atol=allowed)
    np.testing.assert_allclose(explained, expected, rtol=0, atol=allowed)
