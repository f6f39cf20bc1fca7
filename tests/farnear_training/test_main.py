import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest
from farnear.command import RefusedError
from farnear_training.__main__ import COMMANDS

QUICK = ["--image-size", "16", "--embedding-dim", "4", "--batch-size", "8", "--threads", "1"]


def train(*arguments: str) -> int:
    (command,) = COMMANDS
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
    assert description["training"]["loss"]["name"] == "mn-pair"
    split = json.loads((out / "split.json").read_text())
    assert len(split["train"]) == 34
    assert len(split["test"]) == 14
    assert len({*split["train"], *split["test"]}) == 48
    assert [path.name for path in tmp_path.iterdir()] == ["stripes"]


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
    with pytest.raises(RefusedError, match="--test-fraction: no class has two images"):
        train(str(pack), "--out", str(tmp_path / "b"), *QUICK, "--test-fraction", "0.01")


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
        ["--loss", "triplet"],
        ["--augmentation", "sepia"],
        ["--name", "a/b"],
    ],
)
def test_wrong_usage_ends_with_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        train("data", "--out", "b", *arguments)
    assert stop.value.code == 2
    assert f"argument {arguments[0]}: " in capsys.readouterr().err


def test_help_shows_how(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        train("--help")
    assert stop.value.code == 0
    assert "farnear train bridges --out bridges.bundle" in capsys.readouterr().out


def test_the_choices_offered_are_those_there_are() -> None:
    from farnear_training.augment import PRESETS
    from farnear_training.losses import MnPairLoss

    parser = argparse.ArgumentParser()
    COMMANDS[0].add_arguments(parser)
    choices = {action.dest: action.choices for action in parser._actions}
    assert choices["augmentation"] == list(PRESETS)
    assert choices["loss"] == [MnPairLoss.name]


def test_torch_is_not_imported_for_the_help() -> None:
    code = "import sys, farnear_training.__main__; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
