from collections.abc import Callable
from pathlib import Path

import pytest
from farnear import Client, FailedPreconditionError
from farnear.command import RefusedError
from farnear.report import report

from tests.farnear.fake import FakeService
from tests.farnear.page import Page
from tests.farnear.report.conftest import png

Farnear = Callable[..., int]
Capture = pytest.CaptureFixture[str]


def test_a_report_of_a_collection(client: Client, cells: str, service: FakeService, tmp_path: Path) -> None:
    service.picture = png()
    client.recluster(cells)
    page = report(client, cells, tmp_path / "out")
    assert page == tmp_path / "out" / "index.html"
    found = Page(page.read_text(encoding="utf-8"))
    assert "Clusters of cells 4 items as the model toy sees them" in found.words
    assert len(found.images) == 2 + 4
    names = sorted(path.name for path in (tmp_path / "out").glob("*.png"))
    maps = [f"map-by-{what}{dark}.png" for what in ("class", "cluster") for dark in ("", "-dark")]
    assert names == sorted([*maps, "classes.png", "clusters.png", "noise.png"])
    assert report(client, cells, tmp_path / "out") == page


def test_no_report_without_a_map(client: Client, cells: str, tmp_path: Path) -> None:
    with pytest.raises(FailedPreconditionError, match="no map yet"):
        report(client, cells, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_no_report_of_an_empty_map(client: Client, cells: str, tmp_path: Path) -> None:
    client.recluster(cells)
    client.delete_items(cells, "abcd")
    with pytest.raises(RefusedError, match="cells: no item is on its map"):
        report(client, cells, tmp_path / "out")


def test_the_command(
    farnear: Farnear, client: Client, cells: str, service: FakeService, tmp_path: Path, capsys: Capture
) -> None:
    service.picture = png()
    client.recluster(cells)
    out = tmp_path / "out"
    assert farnear("clusters", "report", "--collection", cells, "--out", str(out)) == 0
    assert capsys.readouterr().out == f"{out / 'index.html'}\n"


def test_a_page_of_someone_else_is_refused_before_anything_is_asked(
    farnear: Farnear, cells: str, service: FakeService, tmp_path: Path, capsys: Capture
) -> None:
    (tmp_path / "index.html").write_text("<title>My site</title>")
    before = len(service.calls)
    assert farnear("clusters", "report", "--collection", cells, "--out", str(tmp_path)) == 1
    assert "was not written by farnear clusters report" in capsys.readouterr().err
    assert len(service.calls) == before


def test_a_missing_extra_is_named(
    farnear: Farnear, cells: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    def missing(*_: object) -> Path:
        raise ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib")

    monkeypatch.setattr("farnear.report.report", missing)
    assert farnear("clusters", "report", "--collection", cells, "--out", str(tmp_path / "out")) == 1
    assert capsys.readouterr().err == (
        "farnear: clusters needs matplotlib, missing here: pip install 'farnear[report]'\n"
    )
