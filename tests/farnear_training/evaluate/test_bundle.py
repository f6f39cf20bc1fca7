import json
from pathlib import Path
from typing import Any

import pytest
from farnear_training.evaluate.bundle import BundleError, load_bundle

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
