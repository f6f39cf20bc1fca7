import base64
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from farnear.command import RefusedError
from farnear.demo import report
from farnear.demo.findings import Findings
from PIL import Image

from tests.farnear.page import Page


def test_every_picture_is_inside_and_described(findings: Findings) -> None:
    images = Page(report.render(findings)).images
    for image in images:
        assert image["alt"]
        with Image.open(io.BytesIO(base64.b64decode(image["src"].partition(";base64,")[2], validate=True))) as picture:
            picture.load()
    # The cell asked about, 2 + 3 hits, 2 maps, and 3 cells of clusters with 3 heat maps.
    assert len(images) == 1 + 5 + 2 + 3 + 3


def test_the_page_needs_no_other_file_and_no_script(findings: Findings) -> None:
    html = report.render(findings)
    page = Page(html)
    assert {"script", "link", "iframe"}.isdisjoint(page.tags)
    assert "url(" not in html
    assert "@import" not in html
    for reference in page.references:
        assert reference.startswith(
            ("data:image/", "https://creativecommons.org/", "https://doi.org/", "https://arxiv.org/")
        )


def test_the_figures_are_told(findings: Findings) -> None:
    words = Page(report.render(findings)).words
    for figure in ("0.750", "0.500", "0.250", "0.300", "0.125", "8.3 %", "0.125 s", "3.3 min", "ab" * 32):
        assert figure in words
    assert "2 against 3 classes" in words
    assert "Most similar: 1 of 2 are mono-0.00 too" in words
    assert "Most divergent: 0 of 3 are mono-0.00 too" in words
    assert "\N{MINUS SIGN}0.500" in words
    assert "CC BY-NC-SA 4.0" in words


def test_each_cell_tells_whether_training_saw_it(findings: Findings) -> None:
    words = Page(report.render(findings)).words
    assert "mono-0.00 cell0, held out" in words
    assert "mono-0.00 cell1 trained on" in words


def test_labels_and_ids_are_escaped(findings: Findings) -> None:
    label = "<script>alert('x')</script>&"
    points = tuple(replace(point, label=label) for point in findings.points)
    hits = tuple(replace(hit, label=label) for hit in findings.questions[0].result.similar)
    questions = (
        replace(findings.questions[0], label=label, result=replace(findings.questions[0].result, similar=hits)),
    )
    page = Page(report.render(replace(findings, points=points, questions=questions, class_counts={label: 12})))
    assert "script" not in page.tags
    assert label in page.text


def test_a_report_of_some_clusters_says_so(findings: Findings) -> None:
    assert "largest of" not in Page(report.render(findings)).words
    words = Page(report.render(replace(findings, rows=findings.rows[:1]))).words
    assert "Shown are the 1 largest of 2 clusters." in words


def test_a_map_without_clusters_says_so(findings: Findings) -> None:
    none = replace(findings.clustering, clusters=(), noise_count=12)
    words = Page(report.render(replace(findings, clustering=none, rows=()))).words
    assert "No cluster was found" in words
    assert "100.0 %" in words


@pytest.mark.parametrize(
    ("precision_at_1", "map_at_r", "words"),
    [
        (0.75, 0.5, "better than a comparison of raw pixels does, and better than chance"),
        (0.45, 0.5, "not above raw pixels and chance in both measures"),
        (0.75, 0.25, "not above raw pixels and chance in both measures"),
        (0.45, 0.2, "is below raw pixels in both measures"),
    ],
)
def test_the_verdict_is_plain(
    score_learned: Callable[[float, float], Findings], precision_at_1: float, map_at_r: float, words: str
) -> None:
    findings = score_learned(precision_at_1, map_at_r)
    assert words in report.verdict(findings)
    assert words in Page(report.render(findings)).words


def test_it_writes_the_page_and_may_write_it_again(findings: Findings, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "report"
    report.check(folder)
    page = report.write(findings, folder)
    assert page == folder / "index.html"
    assert page.read_text(encoding="utf-8") == report.render(findings)
    report.check(folder)


def test_a_page_of_someone_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<title>My site</title>")
    with pytest.raises(RefusedError, match="was not written by farnear demo"):
        report.check(tmp_path)
    with pytest.raises(RefusedError, match="is not a folder"):
        report.check(tmp_path / "index.html")
