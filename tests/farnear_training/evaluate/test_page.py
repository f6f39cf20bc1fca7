import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from farnear_training.evaluate.figures import training_curve
from farnear_training.evaluate.findings import Findings
from farnear_training.evaluate.page import maps_verdict, render, verdict
from farnear_training.metrics import Interval
from PIL import Image


class Page(HTMLParser):
    """The tags of a page, its text, and whether every tag is closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br", "wbr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data

    def images(self) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == "img"]


@pytest.fixture(scope="module")
def html(findings_of_all: Findings) -> str:
    return render(findings_of_all)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_it_is_one_whole_file(html: str, page: Page) -> None:
    assert page.open == []
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "embed", "base"}
    assert not re.search(r"https?:|url\(|@import|\bon[a-z]+=", re.sub(r"base64,[^\"]*", "", html))
    assert len(html) < 8_000_000
    for attributes in page.images():
        assert attributes["alt"]
        source = attributes["src"]
        assert source is not None
        with Image.open(io.BytesIO(base64.b64decode(source.partition("base64,")[2]))) as image:
            image.load()


def test_it_tells_the_figures_with_their_intervals(page: Page, findings_of_all: Findings) -> None:
    learned = findings_of_all.retrieval.learned["map_at_r"]
    for words in (
        f"{learned.value:.3f}",
        f"{learned.low:.3f} to {learned.high:.3f}",
        f"{findings_of_all.retrieval.chance.map_at_r:.3f}",
        findings_of_all.bundle.digest,
        "The model was trained on 32 of the 48 images measured",
        "How to read this",
        "How it learned",
        "The map",
        "Do the heat maps show what matters?",
        "Heat map less a random map",
    ):
        assert words in page.text


def test_right_and_wrong_neighbours_are_told_in_words(page: Page, findings_of_all: Findings) -> None:
    labels, rows = findings_of_all.measured.labels, (*findings_of_all.examples, *findings_of_all.mistakes)
    right = sum(int(labels[position] == labels[row.query]) for row in rows for position in row.nearest)
    wrong = sum(len(row.nearest) for row in rows) - right
    assert page.text.count("✓ same") == right
    assert len(re.findall("✗ (lying|upright)", page.text)) == wrong
    alts = [attributes["alt"] or "" for attributes in page.images()]
    assert sum("same class" in alt for alt in alts) == right
    assert sum("another class" in alt for alt in alts) == wrong


def test_names_are_text_and_nothing_else(findings: Findings) -> None:
    names = ("<script>alert(1)</script>", 'a"b_&amp;')
    hostile = replace(
        findings,
        bundle=replace(findings.bundle, name="<img src=x onerror=alert(1)>"),
        measured=replace(
            findings.measured,
            class_names=names,
            item_ids=tuple(f'{names[0]}/"{number}<b>.png' for number in range(16)),
        ),
        classes=tuple(replace(one, name=name) for one, name in zip(findings.classes, names, strict=True)),
    )
    page = Page(render(hostile))
    assert page.open == []
    assert "script" not in {tag for tag, _ in page.tags}
    assert not any("onerror" in attributes for _, attributes in page.tags)
    assert "<script>alert(1)</script>" in page.text
    assert 'a"b_&amp;' in page.text


def test_what_there_is_not_is_left_out(findings: Findings) -> None:
    bare = replace(findings, map=None, faithfulness=None, bundle=replace(findings.bundle, history=None), mistakes=())
    page = Page(render(bare))
    assert "How it learned" not in page.text
    assert "The map" not in page.text
    assert "NMI" not in page.text
    assert "Do the heat maps" not in page.text
    assert "None: the nearest neighbour of every image asked about is of its class." in page.text
    assert training_curve(findings.bundle.history) is not None


@pytest.mark.parametrize(
    ("learned", "gain", "words"),
    [
        ((0.6, 0.8), (0.1, 0.3), "better than a comparison of raw pixels"),
        ((0.6, 0.8), (-0.3, -0.1), "less well than a comparison of raw pixels"),
        ((0.6, 0.8), (-0.1, 0.1), "the difference may be chance"),
        ((0.0, 0.8), (0.1, 0.3), "no better than chance"),
    ],
)
def test_the_verdict_goes_by_the_intervals(
    learned: tuple[float, float], gain: tuple[float, float], words: str, findings: Findings
) -> None:
    retrieval = replace(
        findings.retrieval,
        learned={"map_at_r": Interval(value=0.7, low=learned[0], high=learned[1])},
        gain={"map_at_r": Interval(value=0.0, low=gain[0], high=gain[1])},
    )
    assert words in verdict(replace(findings, retrieval=retrieval))


@pytest.mark.parametrize(
    ("trained_on", "words"), [(0, "was not trained on"), (4, "was partly trained on"), (16, "it was trained on")]
)
def test_the_verdict_says_what_the_model_has_seen(trained_on: int, words: str, findings: Findings) -> None:
    assert words in verdict(replace(findings, part=replace(findings.part, trained_on=trained_on)))


@pytest.mark.parametrize(
    ("deletion", "insertion", "road", "words"),
    [
        (
            -1,
            1,
            -1,
            "By deletion, insertion and ROAD the heat map is better than both maps that know nothing of the image.",
        ),
        (
            -1,
            -1,
            0,
            "By deletion the heat map is better than both maps that know nothing of the image; by insertion and ROAD",
        ),
        (1, 0, 0, "By no measure is the heat map better, beyond chance, than both maps"),
    ],
)
def test_the_verdict_on_heat_maps_goes_by_the_intervals(
    deletion: int, insertion: int, road: int, words: str, findings: Findings
) -> None:
    assert findings.faithfulness is not None
    signs = {"deletion": deletion, "insertion": insertion, "road": road}
    gain = {name: Interval(value=sign, low=sign - 0.5, high=sign + 0.5) for name, sign in signs.items()}
    unsure = gain | {"deletion": Interval(value=-0.1, low=-0.3, high=0.1)}
    assert words in maps_verdict(replace(findings.faithfulness, gains={"random": gain, "centre": gain}))
    assert "By deletion" not in maps_verdict(replace(findings.faithfulness, gains={"random": gain, "centre": unsure}))
