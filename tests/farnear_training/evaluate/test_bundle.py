import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from farnear_training.data import Dataset
from farnear_training.evaluate.bundle import BundleError, embed, load_bundle
from onnx import TensorProto, helper

from tests.conftest import canonical_digest
from tests.farnear_training.evaluate.conftest import Seal


def test_what_a_bundle_tells_is_read(bundle: Path, split: dict[str, list[str]]) -> None:
    found = load_bundle(bundle)
    description = json.loads((bundle / "bundle.json").read_text())
    assert (found.path, found.name, found.digest) == (bundle, "tiny", description["digest"])
    assert (found.width, found.height, found.dim) == (16, 16, 4)
    assert found.class_names == ("lying", "upright")
    assert found.history == description["training"]["history"]
    assert found.split == {part: frozenset(item_ids) for part, item_ids in split.items()}


def test_a_bundle_need_not_tell_of_its_training(tiny_bundle: Path) -> None:
    found = load_bundle(tiny_bundle)
    assert found.history is None
    assert found.group_regex is None
    assert found.split == {"train": frozenset(), "test": frozenset()}


def test_how_training_grouped_its_images_is_read(seal: Seal, tmp_path: Path) -> None:
    assert load_bundle(seal(tmp_path / "b", training={"group_regex": "^(.)"})).group_regex == "^(.)"


def test_vectors_are_those_of_its_own_graph(bundle: Path, stripes: Dataset) -> None:
    session = onnxruntime.InferenceSession(bundle / "model.onnx", providers=["CPUExecutionProvider"])
    one_by_one = [session.run(["embedding"], {"images": image[None]})[0][0] for image in stripes.images]
    found = embed(load_bundle(bundle), stripes.images, threads=1)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.stack(one_by_one), atol=1e-6)


@pytest.mark.parametrize("name", ["model.onnx", "split.json"])
def test_a_changed_file_is_refused_by_name(name: str, seal: Seal, tmp_path: Path) -> None:
    bundle = seal(tmp_path / "b", split={"train": [], "test": []})
    with (bundle / name).open("ab") as stream:
        stream.write(b" ")
    with pytest.raises(BundleError, match=f"{name} does not match its SHA-256"):
        load_bundle(bundle)
    (bundle / name).unlink()
    with pytest.raises(BundleError, match=f"{name} cannot be read"):
        load_bundle(bundle)


def test_a_changed_description_is_refused(bundle: Path, seal: Seal, tmp_path: Path) -> None:
    changed = seal(tmp_path / "b")
    text = (changed / "bundle.json").read_text()
    (changed / "bundle.json").write_text(text.replace('"tiny"', '"other"'))
    with pytest.raises(BundleError, match="does not match its digest"):
        load_bundle(changed)
    (changed / "bundle.json").write_text(text[:-5])
    with pytest.raises(BundleError, match="is not JSON"):
        load_bundle(changed)
    (changed / "bundle.json").unlink()
    with pytest.raises(BundleError, match=r"no readable bundle\.json"):
        load_bundle(changed)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema_version": 2}, "schema_version is 2; allowed is 1"),
        ({"embedding": {"dim": 4, "metric": "euclidean"}}, "embedding.metric is 'euclidean'"),
        ({"embedding": {"dim": 0, "metric": "cosine"}}, "dim is 0"),
        (
            {"image": {"width": 16, "height": 16, "colour": "RGB", "resize": "opencv-area"}},
            "image.resize is 'opencv-area'",
        ),
        ({"image": None}, "lacks or misshapes"),
        ({"training": []}, "lacks or misshapes"),
    ],
)
def test_a_foreign_description_is_refused(changes: dict[str, Any], message: str, seal: Seal, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=message):
        load_bundle(seal(tmp_path / "b", **changes))


def test_a_path_out_of_the_bundle_is_refused(seal: Seal, tmp_path: Path) -> None:
    bundle = seal(tmp_path / "b")
    description = json.loads((bundle / "bundle.json").read_text())
    description["files"]["../secret"] = "0" * 64
    description["digest"] = canonical_digest(description)
    (bundle / "bundle.json").write_text(json.dumps(description))
    with pytest.raises(BundleError, match=r"unusable entry '\.\./secret'"):
        load_bundle(bundle)


def test_a_graph_that_does_not_fit_is_refused(seal: Seal, stripes: Dataset, tmp_path: Path) -> None:
    wide = load_bundle(seal(tmp_path / "wide", embedding={"dim": 5, "metric": "cosine"}))
    with pytest.raises(BundleError, match=r"gives \(4,\) values, bundle.json says 5"):
        embed(wide, stripes.images, threads=1)

    image = {"width": 8, "height": 8, "colour": "RGB", "resize": "pillow-bilinear"}
    small = load_bundle(seal(tmp_path / "small", image=image))
    with pytest.raises(BundleError, match=r"model\.onnx cannot be run"):
        embed(small, stripes.images[:, :8, :8], threads=1)

    loaded = load_bundle(seal(tmp_path / "loaded"))
    (loaded.path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(BundleError, match=r"model\.onnx cannot be run"):
        embed(loaded, stripes.images, threads=1)


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
        embed(bundle, stripes.images, threads=1)
