"""The graph that the service runs gives the embeddings and heat maps of the trained network, at any batch size."""

import os
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from farnear_training import data
from farnear_training.export import Provenance, export
from farnear_training.models import MnPairCnn
from numpy.typing import NDArray

PACKS = Path(os.environ.get("FARNEAR_DATA", Path(__file__).parents[3] / "shared" / "data"))
PACK = "neu_steel.tar"


@pytest.fixture(scope="module")
def steel() -> NDArray[np.uint8]:
    if not (PACKS / PACK).exists():
        pytest.skip(f"{PACK} is not in {PACKS} (FARNEAR_DATA)")
    return data.load(PACKS / PACK, 160, 160, threads=2).images[::28]


def noise() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (64, 160, 160, 3), np.uint8)


@pytest.fixture(scope="module")
def network() -> MnPairCnn:
    torch.manual_seed(0)
    return MnPairCnn(image_size=160, embedding_dim=16).eval()


@pytest.fixture(scope="module")
def session(network: MnPairCnn, tmp_path_factory: pytest.TempPathFactory) -> onnxruntime.InferenceSession:
    bundle = tmp_path_factory.mktemp("congruence") / "bundle"
    provenance = Provenance(name="b", class_names=[], training={}, dataset={}, evaluation={}, split={})
    export(network, bundle, provenance, parity_images=noise()[:2])
    return onnxruntime.InferenceSession(bundle / "model.onnx", providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("size", [1, 7, 32, 64])
@pytest.mark.parametrize("images", ["noise", "steel"])
def test_embeddings_are_equal(
    network: MnPairCnn,
    session: onnxruntime.InferenceSession,
    size: int,
    images: str,
    request: pytest.FixtureRequest,
) -> None:
    batch = (noise() if images == "noise" else request.getfixturevalue("steel"))[:size]
    (found,) = session.run(["embedding"], {"images": batch})
    with torch.inference_mode():
        expected = network(torch.from_numpy(batch)).embedding.numpy()
    assert found.shape == (size, 16)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("size", [1, 7, 32])
@pytest.mark.parametrize("images", ["noise", "steel"])
def test_heat_maps_equal_the_gradient(
    network: MnPairCnn,
    session: onnxruntime.InferenceSession,
    size: int,
    images: str,
    request: pytest.FixtureRequest,
) -> None:
    batch = (noise() if images == "noise" else request.getfixturevalue("steel"))[:size]
    (found,) = session.run(["heatmap"], {"images": batch})
    for image, heatmap in zip(batch, found, strict=True):
        _, features, reduction = network(torch.from_numpy(image[None]))
        (gradient,) = torch.autograd.grad((reduction**2).sum(), features)
        expected = torch.zeros(20, 20)
        for layer, slope in zip(features[0], gradient[0], strict=True):
            expected += slope.mean() * layer
        expected = expected.clamp(min=0).detach().numpy()
        np.testing.assert_allclose(heatmap, expected, rtol=0, atol=1e-5 * expected.max())
