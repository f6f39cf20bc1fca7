import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from farnear_service.bundle import load_bundle
from farnear_service.embedder import Embedder
from farnear_service.errors import BundleError
from onnx import numpy_helper

from tests.farnear_service.heatmaps import features_of, grad_cam, pair_heatmap, weights_of


@pytest.fixture
def images() -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8))


def test_embeddings_are_those_of_the_network_by_hand(tiny_bundle: Path, images: list[np.ndarray]) -> None:
    embedder = Embedder(load_bundle(tiny_bundle), threads=1)
    (weights,) = [
        numpy_helper.to_array(tensor)
        for tensor in onnx.load(tiny_bundle / "model.onnx").graph.initializer
        if tensor.name == "weights"
    ]
    for image, embedding in zip(images, embedder.embed(images), strict=True):
        pooled = (image.astype(np.float64) - 127.5).reshape(4, 4, 4, 4, 3).mean(axis=(1, 3))
        raw = pooled.transpose(2, 0, 1).ravel() @ weights.astype(np.float64)
        np.testing.assert_allclose(embedding, raw / np.linalg.norm(raw), atol=1e-5)
        assert embedding.dtype == np.float32


def test_alone_and_in_a_batch_an_image_has_one_embedding(tiny_bundle: Path, images: list[np.ndarray]) -> None:
    embedder = Embedder(load_bundle(tiny_bundle), threads=1)
    for image, embedding in zip(images, embedder.embed(images), strict=True):
        np.testing.assert_allclose(embedder.embed([image])[0], embedding, atol=1e-6)
    assert embedder.provider.endswith("ExecutionProvider")


def test_heat_maps_are_those_of_the_derivatives(heatmap_bundle: Path, images: list[np.ndarray]) -> None:
    bundle = load_bundle(heatmap_bundle)
    assert (bundle.closed_form, bundle.pair_heatmaps) == (True, True)
    weights = weights_of(heatmap_bundle)
    found = Embedder(bundle, threads=1).heatmaps(images)
    for image, heatmap in zip(images, found, strict=True):
        expected = grad_cam(
            lambda features: float((np.einsum("kp,kpd->d", features, weights) ** 2).sum()), features_of(image)
        )
        assert (heatmap.shape, heatmap.dtype) == ((4, 4), np.float32)
        np.testing.assert_allclose(heatmap, expected.clip(min=0), atol=1e-4 * np.abs(expected).max())


def test_heat_maps_of_pairs_are_those_of_the_derivatives(heatmap_bundle: Path, images: list[np.ndarray]) -> None:
    weights = weights_of(heatmap_bundle)
    embedder = Embedder(load_bundle(heatmap_bundle), threads=1)
    targets = np.stack(embedder.embed(images[2:]))
    found = embedder.pair_heatmaps(images[:2], targets)
    assert (found.shape, found.dtype) == ((2, 3, 4, 4), np.float32)
    for image, heatmaps in zip(images, found, strict=False):
        for target, heatmap in zip(targets, heatmaps, strict=True):
            expected = pair_heatmap(weights, features_of(image), target)
            assert expected.min() < 0 < expected.max()
            np.testing.assert_allclose(heatmap, expected, atol=1e-4 * np.abs(expected).max())


def test_a_graph_that_gives_no_pairs_although_it_should_is_refused(
    heatmap_bundle: Path, tmp_path: Path, seal_bundle: Callable[[Path], str]
) -> None:
    path = shutil.copytree(heatmap_bundle, tmp_path / "b")
    model = onnx.load(path / "model.onnx")
    del model.graph.output[2]
    onnx.save(model, path / "model.onnx")
    seal_bundle(path)
    with pytest.raises(BundleError, match=r"model\.onnx is not what bundle\.json says"):
        Embedder(load_bundle(path), threads=1)


def changed(source: Path, target: Path, seal: Callable[[Path], str], old: str, new: str) -> Path:
    shutil.copytree(source, target)
    text = (target / "bundle.json").read_text()
    assert old in text
    (target / "bundle.json").write_text(text.replace(old, new))
    seal(target)
    return target


def test_a_model_of_another_dimension_than_it_says_is_refused(
    tiny_bundle: Path, tmp_path: Path, seal_bundle: Callable[[Path], str]
) -> None:
    path = changed(tiny_bundle, tmp_path / "b", seal_bundle, '"dim": 4', '"dim": 5')
    with pytest.raises(BundleError, match=r"model.onnx gives 4 values, bundle.json says 5"):
        Embedder(load_bundle(path), threads=1)


def test_a_model_for_another_image_size_than_it_says_is_refused(
    tiny_bundle: Path, tmp_path: Path, seal_bundle: Callable[[Path], str]
) -> None:
    path = changed(tiny_bundle, tmp_path / "b", seal_bundle, '"width": 16', '"width": 32')
    with pytest.raises(BundleError, match=r"model\.onnx"):
        Embedder(load_bundle(path), threads=1)


def test_a_file_that_is_no_model_is_refused(
    tiny_bundle: Path, tmp_path: Path, seal_bundle: Callable[[Path], str]
) -> None:
    path = shutil.copytree(tiny_bundle, tmp_path / "b")
    (path / "model.onnx").write_bytes(b"no model")
    seal_bundle(path)
    with pytest.raises(BundleError, match=r"model\.onnx is not what bundle\.json says"):
        Embedder(load_bundle(path), threads=1)


def test_a_model_with_other_names_is_refused(
    tiny_bundle: Path, tmp_path: Path, seal_bundle: Callable[[Path], str]
) -> None:
    path = shutil.copytree(tiny_bundle, tmp_path / "b")
    model = onnx.load(path / "model.onnx")
    model.graph.output[0].name = model.graph.node[-1].output[0] = "vector"
    onnx.save(model, path / "model.onnx")
    seal_bundle(path)
    with pytest.raises(BundleError, match=r"model\.onnx"):
        Embedder(load_bundle(path), threads=1)
