"""A trained network -> a bundle (ARCHITECTURE.md, "The bundle"), written whole or not at all."""

import contextlib
import copy
import hashlib
import json
import logging
import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from farnear_training.models import Network, Outputs

SCHEMA_VERSION = 1
TOLERANCE = 1e-5
_PARITY_BATCHES = (1, 32)
_BATCH = torch.export.Dim("batch")
_ANY_BATCH: dict[str, dict[int, Any]] = {"images": {0: _BATCH}}
_ANY_BATCH_AND_TARGETS: dict[str, dict[int, Any]] = {**_ANY_BATCH, "targets": {0: torch.export.Dim("targets")}}
_PARITY_TARGETS = 4


class ParityError(RuntimeError):
    """The exported graph does not give the network's embeddings or heat maps, so no bundle was written."""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What a bundle tells of its origin beside the network itself.

    Attributes:
        name: What the bundle is to be called.
        class_names: The classes of the training images.
        training: The settings of the run, as JSON.
        dataset: Counts of the images, as JSON.
        evaluation: Retrieval on the held-out images, as JSON.
        split: Item ids by part, `train` and `test`.
    """

    name: str
    class_names: Sequence[str]
    training: dict[str, Any]
    dataset: dict[str, Any]
    evaluation: dict[str, Any]
    split: dict[str, Sequence[str]]


def export(model: Network, out: Path, provenance: Provenance, *, parity_images: NDArray[np.uint8]) -> str:
    """Writes the bundle `out` and returns its digest.

    Args:
        model: On the CPU; it stays as it is.
        out: A folder that does not exist yet.
        provenance: What else the bundle tells.
        parity_images: Real images, uint8 of shape (N, H, W, 3), on which the graph must equal the network.

    Raises:
        FileExistsError: `out` exists.
        ParityError: The graph differs from the network, as `check_parity` says. Nothing is left at `out`.
    """
    if out.exists():
        raise FileExistsError(f"{out}: exists; allowed is a path for a new bundle")
    # Grad-CAM through explain.pt2 needs the gradient of weights that were frozen in training too.
    model = copy.deepcopy(model).eval().requires_grad_(True)
    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = out.with_name(f".{out.name}.{os.getpid()}.unfinished")
    unfinished.mkdir()
    try:
        with _quiet_exporter():
            _write_onnx(model, unfinished / "model.onnx")
            _write_program(model, unfinished / "explain.pt2")
        check_parity(model, unfinished / "model.onnx", parity_images)
        (unfinished / "split.json").write_text(json.dumps(provenance.split, ensure_ascii=False), "utf-8")
        description = _description(model, provenance, unfinished)
        text = json.dumps(description, indent=2, ensure_ascii=False, allow_nan=False)
        (unfinished / "bundle.json").write_text(text + "\n", "utf-8")
        for path in (*unfinished.iterdir(), unfinished):
            _sync(path)
        unfinished.rename(out)
    except BaseException:
        shutil.rmtree(unfinished)
        raise
    _sync(out.parent)
    return str(description["digest"])


def check_parity(model: Network, graph: Path, images: NDArray[np.uint8]) -> None:
    """Compares ONNX Runtime with Torch on `images`, uint8 of shape (N, H, W, 3), singly and in batches.

    Raises ParityError where an embedding differs by more than 1e-5, or, where the network has a closed form, a heat map
    from that of Torch's autograd by more than the network's `heatmap_tolerance` (1e-5, deeper ones more) of the largest
    value of its batch, which is its own in a batch of one. For heat maps of pairs it is the largest absolute value of
    all, and to that comes what float32 rounds off their terms: they are signed, so terms may nearly cancel out.

    The other sides of the pairs are unit vectors drawn with seed 0.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # it warns of the default that `targets` has, which is meant
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    given: dict[str, NDArray[Any]] = {}
    if model.closed_form:
        given["targets"] = _drawn_unit_vectors(_PARITY_TARGETS, model.embedding_dim)
    expected, pair_rounding = _expected(model, images, **given)
    for size in _PARITY_BATCHES:
        for start in range(0, len(images), size):
            batch = slice(start, start + size)
            found = session.run(list(expected), {"images": images[batch], **given})
            for (what, theirs), ours in zip(expected.items(), found, strict=True):
                allowed = _allowed(model, what, theirs, batch, pair_rounding)
                difference = float(np.abs(ours - theirs[batch]).max())
                if not difference <= allowed:  # a NaN fails too
                    raise ParityError(
                        f"model.onnx: {what} differs from Torch's by {difference:.2g} at batch {size};"
                        f" allowed is {allowed:.2g}. No bundle was written; weights that a high learning rate blew up"
                        " do that"
                    )


def _allowed(model: Network, what: str, expected: NDArray[np.float32], batch: slice, pair_rounding: float) -> float:
    match what:
        case "heatmap":
            return model.heatmap_tolerance * float(expected[batch].max())
        case "pair_heatmaps":
            return model.heatmap_tolerance * float(np.abs(expected).max()) + pair_rounding
        case _:
            return TOLERANCE


def _drawn_unit_vectors(count: int, dim: int) -> NDArray[np.float32]:
    drawn = np.random.default_rng(0).normal(size=(count, dim))
    unit: NDArray[np.float32] = (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)
    return unit


def _expected(
    model: Network, images: NDArray[np.uint8], targets: NDArray[np.float32] | None = None
) -> tuple[dict[str, NDArray[np.float32]], float]:
    """What the graph must give, by name of its outputs; heat maps, where targets are given, by Torch's autograd.

    And what rounding can make of the heat maps of pairs: eight float32 units of the largest sum of absolute terms.
    """
    parts: dict[str, list[Tensor]] = {}
    largest_sum = 0.0
    for start in range(0, len(images), _PARITY_BATCHES[-1]):
        batch = slice(start, start + _PARITY_BATCHES[-1])
        outputs = model(torch.from_numpy(images[batch]))
        found = {"embedding": outputs.embedding}
        if targets is not None:
            found["heatmap"] = torch.relu(_grad_cam(outputs.reduction.square().sum(), outputs).sum(dim=1))
            lengths = outputs.vector.norm(dim=1).detach()
            of_targets = []
            for target in torch.from_numpy(targets):
                terms = _grad_cam((outputs.vector @ target / lengths).sum(), outputs)
                of_targets.append(terms.sum(dim=1))
                largest_sum = max(largest_sum, float(terms.detach().abs().sum(dim=1).max()))
            found["pair_heatmaps"] = torch.stack(of_targets, dim=1)
        for what, values in found.items():
            parts.setdefault(what, []).append(values.detach())
    return {what: torch.cat(values).numpy() for what, values in parts.items()}, 8 * 2.0**-24 * largest_sum


def _grad_cam(score: Tensor, outputs: Outputs) -> Tensor:
    """The terms of the map, (B, K, h, w), to be summed over the channels."""
    (gradient,) = torch.autograd.grad(score, outputs.features, retain_graph=True)
    alpha: Tensor = gradient.mean(dim=(2, 3), keepdim=True)
    return alpha * outputs.features


class _Embedded(nn.Module):
    """What model.onnx computes where heat maps have no closed form."""

    def __init__(self, model: Network) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return cast(Outputs, self.model(images)).embedding


class _Served(nn.Module):
    """What model.onnx computes where heat maps have a closed form."""

    def __init__(self, model: Network) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        outputs = self.model(images)
        return outputs.embedding, self.model.heatmaps(outputs), self.model.pair_heatmaps(outputs, targets)


class _Explained(nn.Module):
    """What explain.pt2 computes: a plain tuple, as a named one needs its Python class to be loaded."""

    def __init__(self, model: Network) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.model(images))


def _write_onnx(model: Network, path: Path) -> None:
    images = _example_images(model)
    if model.closed_form:
        shapes, outputs = _ANY_BATCH_AND_TARGETS, ["embedding", "heatmap", "pair_heatmaps"]
        traced = _traced(_Served(model), (images, torch.zeros(3, model.embedding_dim)), shapes)
    else:
        shapes, outputs = _ANY_BATCH, ["embedding"]
        traced = _traced(_Embedded(model), (images,), shapes)
    program = torch.onnx.export(traced, output_names=outputs, dynamic_shapes=shapes, dynamo=True, verbose=False)
    assert program is not None  # a path as `f` would make it None
    graph = program.model_proto
    if model.closed_form:
        # A default makes an input optional: who asks for embeddings need not know of targets.
        no_target = np.zeros((1, model.embedding_dim), np.float32)
        graph.graph.initializer.append(onnx.numpy_helper.from_array(no_target, "targets"))
    for value in (*graph.graph.node, *graph.graph.value_info, *graph.graph.input, *graph.graph.output):
        value.ClearField("metadata_props")  # stack traces of the machine that exported it
    onnx.checker.check_model(graph, full_check=True)
    onnx.save(graph, path)


def _write_program(model: Network, path: Path) -> None:
    torch.export.save(_traced(_Explained(model), (_example_images(model),), _ANY_BATCH), path)


def _example_images(model: Network) -> Tensor:
    return torch.zeros((2, model.image_size, model.image_size, 3), dtype=torch.uint8)  # 1 would be taken for a constant


def _traced(
    module: nn.Module, examples: tuple[Tensor, ...], shapes: dict[str, dict[int, Any]]
) -> torch.export.ExportedProgram:
    """The graph of `module` for any number of images."""
    program = torch.export.export(module.eval(), examples, dynamic_shapes=shapes)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # of the machine that exported it
    return program


def _description(model: Network, provenance: Provenance, folder: Path) -> dict[str, Any]:
    content = {
        "schema_version": SCHEMA_VERSION,
        "name": provenance.name,
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "image": {
            "width": model.image_size,
            "height": model.image_size,
            "colour": "RGB",
            "resize": "pillow-bilinear",
        },
        "embedding": {"dim": model.embedding_dim, "metric": "cosine"},
        "explain": {
            "feature_layer": model.feature_layer,
            "reduction_layer": model.reduction_layer,
            "closed_form": model.closed_form,
            "pair_heatmaps": model.closed_form,
        },
        "class_names": list(provenance.class_names),
        "training": provenance.training,
        "dataset": provenance.dataset,
        "evaluation": provenance.evaluation,
        "files": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())},
    }
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return {**content, "digest": hashlib.sha256(canonical.encode()).hexdigest()}


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Keeps what Torch says about its own insides (absent torchvision, deprecated helpers) off the terminal."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`isinstance", FutureWarning)
            yield
    finally:
        logger.setLevel(level)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
