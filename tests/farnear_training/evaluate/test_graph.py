from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from farnear_training.data import Dataset
from farnear_training.evaluate.bundle import BundleError, load_bundle
from farnear_training.evaluate.graph import Graph
from onnx import TensorProto, helper

from tests.farnear_training.evaluate.conftest import Seal


def test_vectors_are_those_of_its_own_graph(bundle: Path, stripes: Dataset) -> None:
    session = onnxruntime.InferenceSession(bundle / "model.onnx", providers=["CPUExecutionProvider"])
    one_by_one = [session.run(["embedding"], {"images": image[None]})[0][0] for image in stripes.images]
    done: list[int] = []
    found = Graph(load_bundle(bundle), threads=1).embed(stripes.images, done.append)
    assert found.dtype == np.float32
    assert done == [32, 16]
    np.testing.assert_allclose(found, np.stack(one_by_one), atol=1e-6)


def test_heat_maps_are_those_of_its_own_graph(bundle: Path, tiny_bundle: Path, stripes: Dataset) -> None:
    graph = Graph(load_bundle(bundle), threads=1)
    assert graph.has_heatmaps
    centred = stripes.images.astype(np.float64).reshape(-1, 4, 4, 4, 4, 3) - 127.5
    expected = np.abs(centred.mean(axis=(2, 4))).sum(axis=-1)
    np.testing.assert_allclose(graph.heatmaps(stripes.images), expected, rtol=1e-4)
    assert not Graph(load_bundle(tiny_bundle), threads=1).has_heatmaps


def test_maps_below_nothing_are_refused(seal: Seal, stripes: Dataset, tmp_path: Path) -> None:
    graph = Graph(load_bundle(seal(tmp_path / "b", heatmaps="Neg")), threads=1)
    with pytest.raises(BundleError, match="gives heat maps that are none"):
        graph.heatmaps(stripes.images)


def test_a_graph_that_does_not_fit_is_refused(seal: Seal, stripes: Dataset, tmp_path: Path) -> None:
    wide = load_bundle(seal(tmp_path / "wide", embedding={"dim": 5, "metric": "cosine"}))
    with pytest.raises(BundleError, match=r"gives \(4,\) values, bundle.json says 5"):
        Graph(wide, threads=1).embed(stripes.images)

    image = {"width": 8, "height": 8, "colour": "RGB", "resize": "pillow-bilinear"}
    small = load_bundle(seal(tmp_path / "small", image=image))
    with pytest.raises(BundleError, match=r"model\.onnx cannot be run"):
        Graph(small, threads=1).embed(stripes.images[:, :8, :8])

    loaded = load_bundle(seal(tmp_path / "loaded"))
    (loaded.path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(BundleError, match=r"model\.onnx cannot be run"):
        Graph(loaded, threads=1)


def test_vectors_of_another_length_are_refused(seal: Seal, stripes: Dataset, tmp_path: Path) -> None:
    bundle = load_bundle(seal(tmp_path / "b"))
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["images"], ["float"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["float"], ["means"], axes=[1, 2], keepdims=0),
            helper.make_node("Concat", ["means", "means"], ["six"], axis=1),
            helper.make_node("Slice", ["six", "start", "end", "axis"], ["embedding"]),
        ],
        "long",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["B", 16, 16, 3])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["B", 4])],
        [
            helper.make_tensor(name, TensorProto.INT64, [1], [value])
            for name, value in (("start", 0), ("end", 4), ("axis", 1))
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]), bundle.path / "model.onnx")
    with pytest.raises(BundleError, match="not of unit length"):
        Graph(bundle, threads=1).embed(stripes.images)
