from pathlib import Path

import pytest
from farnear.demo import cells


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "images").mkdir(parents=True)
    lines = ["images/a.png  1.0  mono", "images/b.png  0.3333333333333333  poly", "images/c.png  1.0  mono"]
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    for name in "abc":
        (folder / "images" / f"{name}.png").write_bytes(name.encode())
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.png")}


EXPECTED = {"mono-1.00/a.png": b"a", "poly-0.33/b.png": b"b", "mono-1.00/c.png": b"c"}


def test_images_lie_in_folders_of_wafer_and_grade(data: Path, tmp_path: Path) -> None:
    assert cells.lay_out(data, tmp_path / "cells") == {"mono-1.00": 2, "poly-0.33": 1}
    assert contents(tmp_path / "cells") == EXPECTED


def test_they_are_copied_where_there_are_no_links(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    cells.lay_out(data, tmp_path / "cells")
    assert contents(tmp_path / "cells") == EXPECTED


def test_a_second_time_changes_nothing(data: Path, tmp_path: Path) -> None:
    first = cells.lay_out(data, tmp_path / "cells")
    assert cells.lay_out(data, tmp_path / "cells") == first
    assert contents(tmp_path / "cells") == EXPECTED


def test_the_solar_cells_have_eight_classes(tmp_path: Path) -> None:
    pytest.importorskip("elpv_dataset", reason="the package elpv-dataset (extra demo) is not installed")
    counts = cells.lay_out(cells.source(), tmp_path / "cells")
    assert counts == {
        "mono-0.00": 588,
        "mono-0.33": 117,
        "mono-0.67": 56,
        "mono-1.00": 313,
        "poly-0.00": 920,
        "poly-0.33": 178,
        "poly-0.67": 50,
        "poly-1.00": 402,
    }
    assert len(contents(tmp_path / "cells")) == sum(counts.values()) == 2624
