import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from farnear_service.bundle import adopt_bundle, load_bundle
from farnear_service.errors import BundleError


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_bundle, tmp_path / "bundle")


@pytest.fixture
def change(bundle: Path, seal_bundle: Callable[[Path], str]) -> Callable[..., None]:
    """Sets a field of bundle.json, named by its path, and seals the bundle anew."""

    def set_field(*path: str, value: Any) -> None:
        description = json.loads((bundle / "bundle.json").read_text())
        part = description
        for key in path[:-1]:
            part = part[key]
        part[path[-1]] = value
        (bundle / "bundle.json").write_text(json.dumps(description))
        seal_bundle(bundle)

    return set_field


def test_a_good_bundle_is_read(tiny_bundle: Path) -> None:
    bundle = load_bundle(tiny_bundle)
    description = json.loads((tiny_bundle / "bundle.json").read_text())
    assert (bundle.name, bundle.digest) == ("tiny", description["digest"])
    assert (bundle.width, bundle.height, bundle.dim) == (16, 16, 4)
    assert bundle.model == tiny_bundle / "model.onnx"
    assert bundle.torch_program is None
    assert (bundle.closed_form, bundle.pair_heatmaps) == (False, False)


@pytest.mark.parametrize("pairs", [True, False])
def test_a_bundle_says_what_its_graph_explains(change: Callable[..., None], bundle: Path, pairs: bool) -> None:
    change("explain", "closed_form", value=True)
    if pairs:  # what was written before graphs gave pairs says nothing of them
        change("explain", "pair_heatmaps", value=True)
    assert load_bundle(bundle).closed_form
    assert load_bundle(bundle).pair_heatmaps is pairs


def test_names_and_classes_of_any_script_keep_their_digest(bundle: Path, change: Callable[..., None]) -> None:
    change("class_names", value=["ひび割れ", "Riß"])
    change("name", value="Brücken")
    assert load_bundle(bundle).name == "Brücken"


def test_a_torch_program_is_found(bundle: Path, change: Callable[..., None]) -> None:
    (bundle / "explain.pt2").write_bytes(b"program")
    change("files", "explain.pt2", value="")
    assert load_bundle(bundle).torch_program == bundle / "explain.pt2"


@pytest.mark.parametrize("name", ["model.onnx", "bundle.json"])
def test_a_missing_file_is_told(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    with pytest.raises(BundleError, match=name):
        load_bundle(bundle)


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "nothing", tmp_path / "file"):
        with pytest.raises(BundleError, match=r"no readable bundle\.json"):
            load_bundle(path)


@pytest.mark.parametrize("place", [0, 100, -1])
def test_one_changed_byte_of_the_model_is_told(bundle: Path, place: int) -> None:
    data = bytearray((bundle / "model.onnx").read_bytes())
    data[place] ^= 1
    (bundle / "model.onnx").write_bytes(data)
    with pytest.raises(BundleError, match=r"model.onnx does not match its SHA-256"):
        load_bundle(bundle)


def test_one_changed_field_of_the_description_is_told(bundle: Path) -> None:
    description = json.loads((bundle / "bundle.json").read_text())
    description["training"]["seed"] += 1
    (bundle / "bundle.json").write_text(json.dumps(description))
    with pytest.raises(BundleError, match="does not match its digest"):
        load_bundle(bundle)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "7", '"bundle"', "{}", '{"schema_version": 1}', "\xff"])
def test_other_json_is_told(bundle: Path, text: str) -> None:
    (bundle / "bundle.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(BundleError, match=r"bundle\.json"):
        load_bundle(bundle)


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("schema_version",), 2, "schema_version 2; this service reads 1"),
        (("image", "colour"), "BGR", "image.colour is 'BGR'; this service reads 'RGB'"),
        (("image", "resize"), "area", "image.resize is 'area'"),
        (("embedding", "metric"), "euclidean", "embedding.metric is 'euclidean'"),
        (("image", "width"), 0, "width is 0"),
        (("image", "height"), 16.0, "height is 16.0"),
        (("image", "height"), "16", "height is '16'"),
        (("embedding", "dim"), -4, "dim is -4"),
        (("image",), None, "misshapes"),
        (("embedding",), {}, "misshapes"),
    ],
)
def test_what_cannot_be_served_is_told(
    bundle: Path, change: Callable[..., None], path: tuple[str, ...], value: object, told: str
) -> None:
    change(*path, value=value)
    with pytest.raises(BundleError, match=told):
        load_bundle(bundle)


def test_files_outside_of_the_bundle_are_refused(bundle: Path, change: Callable[..., None], tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (bundle / ".hidden").write_text("hidden")
    for name in ("../secret", str(tmp_path / "secret"), ".hidden"):
        change("files", value={"model.onnx": "", name: ""})
        with pytest.raises(BundleError, match="files has the unusable entry"):
            load_bundle(bundle)


def test_a_bundle_without_a_model_is_refused(bundle: Path, change: Callable[..., None]) -> None:
    change("files", value={})
    with pytest.raises(BundleError, match=r"lists no model\.onnx"):
        load_bundle(bundle)


def test_an_adopted_bundle_outlives_its_source(bundle: Path, tmp_path: Path) -> None:
    adopted = adopt_bundle(bundle, tmp_path / "kept")
    assert adopted.path == tmp_path / "kept" / adopted.digest
    shutil.rmtree(bundle)
    assert load_bundle(adopted.path) == adopted
    assert [path.name for path in (tmp_path / "kept").iterdir()] == [adopted.digest]


def test_files_that_a_bundle_does_not_list_are_not_adopted(bundle: Path, tmp_path: Path) -> None:
    (bundle / "notes.txt").write_text("notes")
    adopted = adopt_bundle(bundle, tmp_path / "kept")
    assert sorted(path.name for path in adopted.path.iterdir()) == ["bundle.json", "model.onnx"]


def test_adopting_twice_changes_nothing(bundle: Path, tmp_path: Path) -> None:
    adopted = adopt_bundle(bundle, tmp_path / "kept")
    before = adopted.model.stat()
    assert adopt_bundle(bundle, tmp_path / "kept") == adopted
    assert adopted.model.stat().st_mtime_ns == before.st_mtime_ns


def test_a_damaged_bundle_leaves_nothing_behind(bundle: Path, tmp_path: Path) -> None:
    (bundle / "model.onnx").write_bytes(b"")
    with pytest.raises(BundleError):
        adopt_bundle(bundle, tmp_path / "kept")
    assert not list(tmp_path.glob("kept/*"))


def test_a_kept_bundle_that_was_damaged_is_told(bundle: Path, tmp_path: Path) -> None:
    adopted = adopt_bundle(bundle, tmp_path / "kept")
    adopted.model.write_bytes(b"")
    with pytest.raises(BundleError, match=adopted.digest):
        load_bundle(adopted.path)
