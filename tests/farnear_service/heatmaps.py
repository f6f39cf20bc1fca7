"""Heat maps of the tiny bundle: in its graph, and the plain way."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

PLACES = 16


def weights_of(bundle: Path) -> np.ndarray:
    """The linear layer of a tiny bundle, float64 of shape (3 maps, 16 places, D)."""
    initializers = {tensor.name: tensor for tensor in onnx.load(bundle / "model.onnx").graph.initializer}
    weights: np.ndarray = numpy_helper.to_array(initializers["weights"]).astype(np.float64)
    return weights.reshape(3, PLACES, -1)


def features_of(pixels: np.ndarray) -> np.ndarray:
    """Its feature maps of a uint8 image (16, 16, 3): centred and pooled by 4 x 4, float64 of shape (3, 16 places)."""
    pooled: np.ndarray = (pixels.astype(np.float64) - 127.5).reshape(4, 4, 4, 4, 3).mean(axis=(1, 3))
    return pooled.transpose(2, 0, 1).reshape(3, PLACES)


def vector_of(weights: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Its vector (D,) of feature maps, before that is scaled to unit length."""
    vector: np.ndarray = np.einsum("kp,kpd->d", features, weights)
    return vector


def pair_heatmap(weights: np.ndarray, features: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The heat map (4, 4) of its cosine with a vector (D,), both lengths held fixed, by derivatives."""
    length = np.linalg.norm(vector_of(weights, features)) * np.linalg.norm(target)
    return grad_cam(lambda changed: float(vector_of(weights, changed) @ target / length), features)


def grad_cam(score: Callable[[np.ndarray], float], features: np.ndarray) -> np.ndarray:
    """sum_k mean(dy/dA_k) A_k of shape (4, 4), with the derivatives as differences, place by place."""
    slope = np.empty_like(features)
    for place in np.ndindex(*features.shape):
        step = np.zeros_like(features)
        step[place] = 1e-3
        slope[place] = (score(features + step) - score(features - step)) / 2e-3
    found: np.ndarray = np.einsum("k,kp->p", slope.mean(axis=1), features).reshape(4, 4)
    return found


def add_heatmaps(path: Path) -> None:
    """Gives the graph of a tiny bundle both kinds of heat maps in closed form."""
    model = onnx.load(path / "model.onnx")
    graph = model.graph
    weights = weights_of(path)
    dim = weights.shape[2]
    nodes = [
        ("Mul", ["raw", "two"], "own_slope"),
        ("MatMul", ["own_slope", "mean_weights"], "own_alpha"),
        ("ReduceL2", ["raw", "second"], "length"),
        ("Unsqueeze", ["length", "second"], "lengths"),
        ("MatMul", ["targets", "mean_weights"], "pair_alpha"),
        ("Div", ["pair_alpha", "lengths"], "pair_alphas"),
    ]
    graph.node.extend(helper.make_node(kind, inputs, [output]) for kind, inputs, output in nodes)
    for alpha, output, equation in (
        ("own_alpha", "signed", "bk,bkhw->bhw"),
        ("pair_alphas", "pair_heatmaps", "btk,bkhw->bthw"),
    ):
        graph.node.append(helper.make_node("Einsum", [alpha, "pooled"], [output], equation=equation))
    graph.node.append(helper.make_node("Relu", ["signed"], ["heatmap"]))
    constants = {
        "two": np.array(2, np.float32),
        "second": np.array([1], np.int64),
        "mean_weights": weights.mean(axis=1).T.astype(np.float32),
        "targets": np.zeros((1, dim), np.float32),
    }
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    graph.input.append(helper.make_tensor_value_info("targets", TensorProto.FLOAT, ["T", dim]))
    for name, shape in (("heatmap", ["B", 4, 4]), ("pair_heatmaps", ["B", "T", 4, 4])):
        graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    model.opset_import[0].version = 18
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path / "model.onnx")
    description = json.loads((path / "bundle.json").read_text())
    description["explain"] |= {"closed_form": True, "pair_heatmaps": True}
    (path / "bundle.json").write_text(json.dumps(description))
