import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from farnear.demo import summary
from farnear.demo.findings import Findings

PAGE, DATA = Path("demo report/index.html"), Path("demo work/data")


def test_people_get_the_figures(findings: Findings) -> None:
    text = summary.text(findings, data=DATA, collection="cells", page=PAGE)
    lines = text.splitlines()
    assert "held-out retrieval  precision@1   MAP@R" in lines
    assert "learned                  0.7500  0.5000" in lines
    assert "raw pixels               0.5000  0.2500" in lines
    assert "chance                   0.3000  0.1250" in lines
    assert "clusters  2 against 3 classes, 8.3% of 12 images are noise" in lines
    assert "training  1,500 steps of 0.125 s, 200 s in all" in lines
    assert "total     300 s" in lines
    assert f"report    {PAGE}" in lines


def test_a_reused_training_is_called_so(findings: Findings) -> None:
    reused = replace(findings, training=replace(findings.training, is_reused=True))
    assert "200 s in all (reused)" in summary.text(reused, data=DATA, collection="cells", page=PAGE)


def test_the_commands_hold_real_paths_quoted_for_the_shell(findings: Findings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    text = summary.text(findings, data=DATA, collection="cells", page=PAGE)
    assert "\n  farnear serve --data 'demo work/data'\n" in text
    assert "\n  farnear similar id:mono-0.00/cell0.png --collection cells\n" in text
    assert "\n  farnear explain id:mono-0.00/cell0.png --collection cells --out heat.png\n" in text


def test_farnear_is_called_by_its_path_where_the_shell_does_not_find_it(
    findings: Findings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / ".venv" / "bin" / "farnear"
    program.parent.mkdir(parents=True)
    program.write_text("")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program.with_name("python")))
    monkeypatch.chdir(tmp_path)

    monkeypatch.setenv("PATH", "")
    assert "\n  .venv/bin/farnear clusters list " in summary.text(findings, data=DATA, collection="cells", page=PAGE)
    monkeypatch.setenv("PATH", str(program.parent))
    assert "\n  farnear clusters list " in summary.text(findings, data=DATA, collection="cells", page=PAGE)


def test_machines_get_the_same_as_json(findings: Findings) -> None:
    document = json.loads(json.dumps(summary.document(findings, data=DATA, collection="cells", page=PAGE)))
    assert document["evaluation"] == {
        "precision_at_1": 0.75,
        "map_at_r": 0.5,
        "raw_pixels": {"precision_at_1": 0.5, "map_at_r": 0.25},
        "chance": {"precision_at_1": 0.3, "map_at_r": 0.125},
    }
    assert document["noise_share"] == pytest.approx(1 / 12)
    assert {key: document[key] for key in ("images", "classes", "clusters", "iterations", "report", "data")} == {
        "images": 12,
        "classes": 3,
        "clusters": 2,
        "iterations": 1500,
        "report": str(PAGE),
        "data": str(DATA),
    }
