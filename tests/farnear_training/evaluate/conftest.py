import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import onnx
import pytest
from farnear_training.data import Dataset
from farnear_training.evaluate.findings import Findings, Settings
from farnear_training.evaluate.measure import measure
from onnx import TensorProto, helper

from tests.conftest import canonical_digest, write_bundle

Seal = Callable[..., Path]
QUICK = Settings(threads=1, draws=50, perplexity=8)


def sealed(
    path: Path, *, split: dict[str, list[str]] | None = None, heatmaps: str | None = None, **changes: Any
) -> Path:
    """The tiny bundle with another split and other entries of `bundle.json`, its sums and digest in order.

    With `heatmaps`, an operator such as `Abs`, it gives those as well: of the pooled pixels, summed over the channels.
    """
    write_bundle(path)
    if heatmaps is not None:
        model = onnx.load(path / "model.onnx")
        model.graph.node.extend(
            [
                helper.make_node(heatmaps, ["pooled"], ["strength"]),
                helper.make_node("ReduceSum", ["strength", "channels"], ["heatmap"], keepdims=0),
            ]
        )
        model.graph.initializer.append(helper.make_tensor("channels", TensorProto.INT64, [1], [1]))
        model.graph.output.append(helper.make_tensor_value_info("heatmap", TensorProto.FLOAT, ["B", "h", "w"]))
        onnx.save(model, path / "model.onnx")
    description = json.loads((path / "bundle.json").read_text()) | changes
    if split is not None:
        (path / "split.json").write_text(json.dumps(split))
    description["files"] |= {
        name: sha256((path / name).read_bytes()).hexdigest()
        for name in ("model.onnx", "split.json")
        if (path / name).exists()
    }
    description["digest"] = canonical_digest(description)
    (path / "bundle.json").write_text(json.dumps(description))
    return path


@pytest.fixture(scope="session")
def seal() -> Seal:
    """`sealed`, as a fixture."""
    return sealed


@pytest.fixture(scope="session")
def split(stripes: Dataset) -> dict[str, list[str]]:
    """Every third image is a test image."""
    return {"train": [i for n, i in enumerate(stripes.item_ids) if n % 3], "test": list(stripes.item_ids[::3])}


@pytest.fixture(scope="session")
def bundle(split: dict[str, list[str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that learned from two thirds of the images of `pack`."""
    history = [{"step": step, "map_at_r": 0.4 + step / 100, "precision_at_1": None} for step in (10, 20, 30)]
    return sealed(
        tmp_path_factory.mktemp("bundles") / "stripes",
        split=split,
        heatmaps="Abs",
        class_names=["lying", "upright"],
        training={"history": history},
    )


@pytest.fixture(scope="session")
def findings(bundle: Path, pack: Path) -> Findings:
    """What is found on the sixteen test images."""
    return measure(bundle, pack, None, QUICK)


@pytest.fixture(scope="session")
def findings_of_all(bundle: Path, pack: Path) -> Findings:
    """What is found on all 48."""
    return measure(bundle, pack, "all", QUICK)
