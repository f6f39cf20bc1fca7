import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from farnear_training import export as export_module
from farnear_training.data import Dataset
from farnear_training.export import ParityError, Provenance, export
from farnear_training.models import MnPairCnn, Network, Outputs, StridedCnn
from torch import Tensor

PROVENANCE = Provenance(
    name="stripes",
    class_names=["lying", "upright"],
    training={"seed": 0},
    dataset={"image_count": 48},
    evaluation={"map_at_r": 0.5},
    split={"train": ["lying/0é.png"], "test": ["upright/0.png"]},
)


def network(seed: int = 0) -> MnPairCnn:
    torch.manual_seed(seed)
    return MnPairCnn(image_size=16, embedding_dim=4)


@pytest.fixture(scope="module")
def bundle(stripes: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("export") / "new" / "stripes.bundle"
    digest = export(network(), out, PROVENANCE, parity_images=stripes.images)
    assert digest == json.loads((out / "bundle.json").read_text())["digest"]
    return out


def test_the_bundle_is_what_the_architecture_says(bundle: Path) -> None:
    description = json.loads((bundle / "bundle.json").read_text("utf-8"))
    created, digest, files = (description.pop(key) for key in ("created", "digest", "files"))
    assert description == {
        "schema_version": 1,
        "name": "stripes",
        "image": {"width": 16, "height": 16, "colour": "RGB", "resize": "pillow-bilinear"},
        "embedding": {"dim": 4, "metric": "cosine"},
        "explain": {
            "feature_layer": "relu4",
            "reduction_layer": "fc1",
            "closed_form": True,
            "pair_heatmaps": True,
        },
        "class_names": ["lying", "upright"],
        "training": {"seed": 0},
        "dataset": {"image_count": 48},
        "evaluation": {"map_at_r": 0.5},
    }
    assert created.endswith("Z")
    assert files == {
        name: hashlib.sha256((bundle / name).read_bytes()).hexdigest()
        for name in ("model.onnx", "explain.pt2", "split.json")
    }
    content = {**description, "created": created, "files": files}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert digest == hashlib.sha256(canonical.encode()).hexdigest()
    assert json.loads((bundle / "split.json").read_text("utf-8")) == PROVENANCE.split
    assert {path.name for path in bundle.iterdir()} == {*files, "bundle.json"}
    assert [path.name for path in bundle.parent.iterdir()] == [bundle.name]


def test_the_graph_takes_any_number_of_uint8_images(bundle: Path) -> None:
    graph = onnx.load(bundle / "model.onnx").graph
    values = {
        value.name: (
            onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type),
            [dimension.dim_value or dimension.dim_param for dimension in value.type.tensor_type.shape.dim],
        )
        for value in (*graph.input, *graph.output)
    }
    assert values == {
        "images": ("UINT8", ["batch", 16, 16, 3]),
        "targets": ("FLOAT", ["targets", 4]),
        "embedding": ("FLOAT", ["batch", 4]),
        "heatmap": ("FLOAT", ["batch", 2, 2]),
        "pair_heatmaps": ("FLOAT", ["batch", "targets", 2, 2]),
    }


@pytest.mark.parametrize(("count", "target_count"), [(1, 1), (1, 5), (2, 2), (7, 3), (7, 1)])
def test_targets_can_be_left_out(bundle: Path, stripes: Dataset, count: int, target_count: int) -> None:
    """What asks for embeddings need not know of them; a pair with nothing has nothing in common."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns of the default of `targets`
    session = onnxruntime.InferenceSession(bundle / "model.onnx", options, providers=["CPUExecutionProvider"])
    images, targets = stripes.images[:count], np.eye(4, dtype=np.float32)[np.arange(target_count) % 4]
    assert [value.name for value in session.get_inputs()] == ["images"]
    embedding, heatmap, of_nothing = session.run(None, {"images": images})
    with_targets = session.run(None, {"images": images, "targets": targets})
    np.testing.assert_array_equal(with_targets[0], embedding)
    np.testing.assert_array_equal(with_targets[1], heatmap)
    assert of_nothing.shape == (count, 1, 2, 2)
    assert not of_nothing.any()
    assert with_targets[2].shape == (count, target_count, 2, 2)
    assert with_targets[2].any(axis=(2, 3)).all()


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_torch_program_equals_the_network_and_its_gradient(bundle: Path, stripes: Dataset, count: int) -> None:
    images = torch.from_numpy(stripes.images[:count])
    program = torch.export.load(bundle / "explain.pt2").module()
    expected, found = network()(images), program(images)
    assert type(found) is tuple
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    (gradient,) = torch.autograd.grad((found[2] ** 2).sum(), found[1])
    (expected_gradient,) = torch.autograd.grad((expected.reduction**2).sum(), expected.features)
    torch.testing.assert_close(gradient, expected_gradient)
    assert gradient.abs().max() > 0


def test_the_model_stays_as_it_is(stripes: Dataset, tmp_path: Path) -> None:
    model = network().train()
    model.conv1.requires_grad_(False)
    before = [weights.clone() for weights in model.parameters()]
    export(model, tmp_path / "bundle", PROVENANCE, parity_images=stripes.images[:2])
    assert model.training
    assert not model.conv1.weight.requires_grad
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(model.parameters(), before, strict=True))


class NoClosedForm(MnPairCnn):
    closed_form = False

    def channel_weights(self, outputs: Outputs, slope_BR: Tensor) -> Tensor:
        raise NotImplementedError


def test_a_network_without_a_closed_form_has_a_graph_without_heat_maps(stripes: Dataset, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = NoClosedForm(image_size=16, embedding_dim=4)
    export(model, tmp_path / "bundle", PROVENANCE, parity_images=stripes.images)
    assert [value.name for value in onnx.load(tmp_path / "bundle" / "model.onnx").graph.output] == ["embedding"]
    description = json.loads((tmp_path / "bundle" / "bundle.json").read_text())
    assert [value.name for value in onnx.load(tmp_path / "bundle" / "model.onnx").graph.input] == ["images"]
    assert description["explain"] == {
        "feature_layer": "relu4",
        "reduction_layer": "fc1",
        "closed_form": False,
        "pair_heatmaps": False,
    }
    embedding, *_ = torch.export.load(tmp_path / "bundle" / "explain.pt2").module()(torch.from_numpy(stripes.images))
    torch.testing.assert_close(embedding, model(torch.from_numpy(stripes.images)).embedding)


@pytest.fixture(scope="module")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Network, Path]:
    """A network with batch norms, its weights frozen and in training mode, and its bundle."""
    torch.manual_seed(0)
    model = StridedCnn(image_size=32, embedding_dim=16).requires_grad_(False).train()
    out = tmp_path_factory.mktemp("frozen") / "bundle"
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    export(model, out, PROVENANCE, parity_images=images)
    return model, out


def test_the_torch_program_of_a_frozen_network_has_a_gradient(frozen: tuple[Network, Path]) -> None:
    _, features, reduction, _ = torch.export.load(frozen[1] / "explain.pt2").module()(
        torch.full((2, 32, 32, 3), 255, dtype=torch.uint8)
    )
    (gradient,) = torch.autograd.grad((reduction**2).sum(), features)
    assert gradient.abs().max() > 0


def test_batch_norms_are_exported_as_they_evaluate(frozen: tuple[Network, Path]) -> None:
    graph = onnx.load(frozen[1] / "model.onnx").graph
    norms = [node for node in graph.node if node.op_type == "BatchNormalization"]
    assert all(attribute.i == 0 for node in norms for attribute in node.attribute if attribute.name == "training_mode")
    torch_graph = torch.export.load(frozen[1] / "explain.pt2").graph
    assert not [node for node in torch_graph.nodes if "batch_norm" in str(node.target) and node.args[5] is True]


def test_weights_are_written_once_a_file(frozen: tuple[Network, Path]) -> None:
    model, out = frozen
    weights = sum(tensor.nbytes for tensor in model.state_dict().values())
    for name in ("model.onnx", "explain.pt2"):
        assert weights < (out / name).stat().st_size < weights + 200_000


def test_no_path_of_this_machine_is_written(bundle: Path, frozen: tuple[Network, Path]) -> None:
    folder = str(Path(export_module.__file__).parent).encode()
    for path in (*bundle.iterdir(), *frozen[1].iterdir()):
        assert folder not in path.read_bytes()


def test_a_graph_that_differs_leaves_no_bundle(
    stripes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write: Callable[[Network, Path], None] = export_module._write_onnx
    monkeypatch.setattr(export_module, "_write_onnx", lambda model, path: write(network(seed=1), path))
    with pytest.raises(ParityError, match=r"model\.onnx: embedding differs from Torch's by"):
        export(network(), tmp_path / "bundle", PROVENANCE, parity_images=stripes.images)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("method", "output"), [("heatmaps", "heatmap"), ("pair_heatmaps", "pair_heatmaps")])
def test_heat_maps_that_differ_leave_no_bundle(
    stripes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, output: str
) -> None:
    closed_form: Callable[..., Tensor] = getattr(MnPairCnn, method)
    monkeypatch.setattr(MnPairCnn, method, lambda model, *arguments: 1.001 * closed_form(model, *arguments))
    with pytest.raises(ParityError, match=rf"model\.onnx: {output} differs from Torch's by"):
        export(network(), tmp_path / "bundle", PROVENANCE, parity_images=stripes.images)
    assert list(tmp_path.iterdir()) == []


def test_weights_that_are_no_numbers_leave_no_bundle(stripes: Dataset, tmp_path: Path) -> None:
    model = network()
    torch.nn.init.constant_(model.fc2.weight, float("nan"))
    with pytest.raises(ParityError, match="differs from Torch's by nan"):
        export(model, tmp_path / "bundle", PROVENANCE, parity_images=stripes.images)
    assert list(tmp_path.iterdir()) == []


def test_what_exists_is_not_overwritten(stripes: Dataset, tmp_path: Path) -> None:
    with pytest.raises(FileExistsError, match="exists"):
        export(network(), tmp_path, PROVENANCE, parity_images=stripes.images)
    assert list(tmp_path.iterdir()) == []
