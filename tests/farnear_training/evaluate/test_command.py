import argparse
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from farnear.command import RefusedError
from farnear_training.__main__ import COMMANDS
from farnear_training.evaluate import page
from farnear_training.evaluate.findings import Findings


def evaluate(*arguments: object) -> int:
    (command,) = (command for command in COMMANDS if command.name == "evaluate")
    parser = argparse.ArgumentParser(prog="farnear evaluate")
    command.add_arguments(parser)
    return command.run(parser.parse_args([str(argument) for argument in arguments]))


def test_both_files_are_written_and_people_get_a_table(
    bundle: Path, pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(bundle, pack, "--out", tmp_path / "new" / "report", "--threads", 1) == 0
    assert sorted(path.name for path in (tmp_path / "new" / "report").iterdir()) == [
        "evaluation.html",
        "evaluation.json",
    ]
    printed = capsys.readouterr().out
    written = json.loads((tmp_path / "new" / "report" / "evaluation.json").read_text())
    learned = written["retrieval"]["learned"]["map_at_r"]
    for words in (
        written["bundle"]["digest"],
        "16 of 2 classes, part test: DATA holds all of the bundle's test images",
        f"{learned['value']:.3f} ({learned['low']:.3f} to {learned['high']:.3f})",
        "heat maps             deletion, low is good     insertion, high is good   ROAD, low is good\n",
        str(tmp_path / "new" / "report" / "evaluation.html"),
    ):
        assert words in printed
    assert (tmp_path / "new" / "report" / "evaluation.html").read_text().endswith("</html>\n")


def test_machines_get_what_the_file_holds(
    bundle: Path, pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(bundle, pack, "--out", tmp_path, "--split", "all", "--seed", 7, "--json") == 0
    outcome = json.loads(capsys.readouterr().out)
    assert outcome == json.loads((tmp_path / "evaluation.json").read_text())
    assert outcome["part"]["name"] == "all"
    assert outcome["settings"]["seed"] == 7
    assert outcome["settings"]["draws"] == 1000
    # A later evaluation takes the place of an earlier one, and nothing else's.
    (tmp_path / "notes.txt").write_text("mine")
    assert evaluate(bundle, pack, "--out", tmp_path, "--json") == 0
    assert json.loads((tmp_path / "evaluation.json").read_text())["part"]["name"] == "test"
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_the_report_goes_beside_the_bundle(bundle: Path, pack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(bundle.iterdir())
    assert evaluate(bundle, pack) == 0
    assert (bundle.with_name("stripes.evaluation") / "evaluation.json").exists()
    assert sorted(bundle.iterdir()) == before
    assert "stripes.evaluation" in capsys.readouterr().out


def test_a_report_that_fails_leaves_the_earlier_one(
    bundle: Path, pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evaluation.html").write_text("earlier")

    def lone_surrogate(findings: Findings) -> str:
        return "half written \ud800"

    monkeypatch.setattr(page, "render", lone_surrogate)
    with pytest.raises(UnicodeEncodeError):
        evaluate(bundle, pack, "--out", tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"evaluation.html": "earlier"}


def test_what_cannot_be_evaluated_is_refused_by_name(
    bundle: Path, tiny_bundle: Path, pack: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    (tmp_path / "file").write_text("")
    for arguments, message in (
        ((tmp_path / "none", pack), r"none: no readable bundle\.json"),
        ((bundle, tmp_path / "none"), "none: does not exist"),
        ((tiny_bundle, pack, "--split", "test"), "--split: bundle .* names no test images; allowed is all"),
        ((bundle, pack, "--out", bundle), "--out: .* is a bundle; allowed is another folder"),
        ((bundle, pack, "--out", tmp_path / "file"), "--out: .* is a file; allowed is a folder"),
        ((bundle, pack, "--out", tmp_path / "file" / "in"), r"--out: nothing can be written to .*file \(Not a dir"),
        ((bundle, pack, "--group-regex", "("), r"group pattern '\(': is no regular expression"),
    ):
        with pytest.raises(RefusedError, match=message):
            evaluate(*(arguments if "--out" in arguments else (*arguments, "--out", out)))
    assert not out.exists()


def test_unreadable_images_are_passed_over_and_told(
    bundle: Path, pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(pack, tmp_path / "pack")
    (tmp_path / "pack" / "lying" / "00.png").write_bytes(b"no image")
    arguments = [bundle, tmp_path / "pack", "--out", tmp_path / "out", "--threads", 1]
    with pytest.raises(RefusedError, match=r"1 of 48 images cannot be read; allowed are 0 \(--max-bad-images\): lying"):
        evaluate(*arguments)
    assert evaluate(*arguments, "--max-bad-images", 1) == 0
    printed = capsys.readouterr().out
    assert "passed   lying/00.png: not a JPEG" in printed
    assert "note     Passed over, as they cannot be read: 1 images." in printed
    written = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert written["data"]["bad_images"].keys() == {"lying/00.png"}
    assert (written["part"]["name"], written["part"]["image_count"]) == ("test", 15)


def test_groups_are_kept_apart_when_asked(
    bundle: Path, pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(bundle, pack, "--out", tmp_path, "--split", "all", "--group-regex", r"^\d(\d)", "--json") == 0
    outcome = json.loads(capsys.readouterr().out)
    assert outcome["settings"]["group_regex"] == r"^\d(\d)"
    assert outcome["part"]["references_are"].endswith("whole groups at a time")
    assert outcome["part"]["kin_trained_on"] == 16


@pytest.mark.parametrize(
    "arguments",
    [["--split", "validation"], ["--seed", "-1"], ["--seed", "many"], ["--threads", "0"], ["--max-bad-images", "-1"]],
)
def test_wrong_usage_ends_with_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        evaluate("bundle", "data", *arguments)
    assert stop.value.code == 2
    assert f"argument {arguments[0]}: " in capsys.readouterr().err


def test_help_shows_how(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        evaluate("--help")
    assert stop.value.code == 0
    assert re.search(r"farnear evaluate bridges\.bundle bridges +on the images", capsys.readouterr().out)


def test_nothing_heavy_is_imported_for_the_help() -> None:
    code = (
        "import sys, farnear_training.evaluate.command;"
        "sys.exit(bool({'torch', 'numpy', 'matplotlib', 'jinja2', 'sklearn'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_images_are_embedded_without_torch(bundle: Path, pack: Path, tmp_path: Path) -> None:
    code = (
        "import argparse, sys; from farnear_training.evaluate import command;"
        "parser = argparse.ArgumentParser(); command.add_arguments(parser);"
        "code = command.run(parser.parse_args()); sys.exit(code or 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(bundle), str(pack), "--out", str(tmp_path)], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
