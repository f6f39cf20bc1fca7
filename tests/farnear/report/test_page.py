import base64
import io
from collections import Counter
from dataclasses import replace

import pytest
from farnear.report.page import class_mix, render
from farnear.report.survey import Survey
from farnear.results import ClassCount, Cluster
from PIL import Image

from tests.farnear.page import Page
from tests.farnear.report.conftest import png


@pytest.fixture(autouse=True)
def drawn_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is drawn is of no matter here, and takes a second a page."""
    for name in ("map_by_class", "map_by_cluster", "class_counts"):
        monkeypatch.setattr(f"farnear.report.page.{name}", lambda *_: png())


def page(survey: Survey) -> Page:
    return Page(render(survey)["index.html"].decode())


def test_the_files_are_a_page_and_pictures(survey: Survey) -> None:
    files = render(survey)
    maps = [f"map-by-{what}{dark}.png" for what in ("class", "cluster") for dark in ("", "-dark")]
    assert sorted(files) == sorted(["index.html", "classes.png", "clusters.png", "noise.png", *maps])
    for name, content in files.items():
        if name.endswith(".png"):
            with Image.open(io.BytesIO(content)) as image:
                assert image.format == "PNG"
                image.load()


def test_every_picture_is_inside_and_described(survey: Survey) -> None:
    images = page(survey).images
    for image in images:
        assert image["alt"]
        with Image.open(io.BytesIO(base64.b64decode(image["src"].partition(";base64,")[2], validate=True))) as picture:
            picture.load()
    # 2 maps, 4 of 5 members with an image, and the noise.
    assert len(images) == 2 + 4 + 1
    assert [image["alt"] for image in images][2] == "Medoid of cluster 4: i/01.png, class crack"


def test_the_page_needs_no_other_file_and_no_script(survey: Survey) -> None:
    html = render(survey)["index.html"].decode()
    found = Page(html)
    assert {"script", "link", "iframe"}.isdisjoint(found.tags)
    assert "url(" not in html
    assert "@import" not in html
    assert all(reference.startswith(("data:image/", "https://arxiv.org/")) for reference in found.references)


def test_each_map_is_there_for_light_and_dark(survey: Survey) -> None:
    html = render(survey)["index.html"].decode()
    assert html.count('<source media="(prefers-color-scheme: dark)" srcset="data:image/png;base64,') == 2
    assert html.count("@media (prefers-color-scheme: dark)") == 1


def test_the_figures_are_told(survey: Survey) -> None:
    words = page(survey).words
    assert "Clusters 2 against 3 classes Noise 8.3 % 1 item" in words
    assert "Map 3 1 item pending, drift 0.12" in words
    assert "Items without a class do not count in either." in words
    assert "Cluster 4 · 6 items, 5 of them in its dense core · crack 50 %, rust 50 %" in words
    assert "1.25 items a square map unit; nearest clusters: 7 at 21.5 depth 1 to 3, median 2 (of 2)" in words
    assert "2026-11-22 18:00:00 cluster 4 took up 5: 6 items, 2 before" in words
    assert "ab" * 32 in words
    # A row is its name, its sum and its counts.
    assert "Cluster Items crack rust sound no class 4 6 3 3 0 0 7 5 0 2 1 2 noise 1 0 0 1 0" in words


def test_the_first_eight_attributes_are_told(survey: Survey) -> None:
    row = survey.rows[0]
    many = tuple(replace(row.details.attributes[0], name=f"depth{number}") for number in range(9))
    words = page(replace(survey, rows=(replace(row, details=replace(row.details, attributes=many)),))).words
    assert "depth7 1 to 3, median 2 (of 2) · and 1 more attributes" in words
    assert "depth8" not in words


def test_an_item_without_an_image_is_named(survey: Survey) -> None:
    html = render(survey)["index.html"].decode()
    assert 'aria-label="Member of cluster 7: i/08.png, class unknown, no image kept"' in html


def test_what_was_left_out_is_told(survey: Survey) -> None:
    assert "by lot" not in page(survey).words
    assert "Shown are" not in page(survey).words
    some = replace(survey, points=survey.points[:7], rows=survey.rows[:1])
    some = replace(some, counts={**survey.counts, (-1, "sound"): 9})
    words = page(some).words
    assert "Drawn are 7 of the 20 points, drawn by lot" in words
    assert "Shown are 1 of 2 clusters, the largest." in words
    assert "Shown are 1 of 9, drawn by lot." in words


def test_a_map_without_clusters_says_so(survey: Survey) -> None:
    counts: Counter[tuple[int, str]] = Counter()
    for (_, label), count in survey.counts.items():
        counts[-1, label] += count
    clustering = replace(survey.clustering, clusters=(), noise_count=12)
    words = page(replace(survey, clustering=clustering, rows=(), counts=counts, events=())).words
    assert "No cluster was found" in words
    assert "Noise 100.0 %" in words
    assert "No births, merges, splits or endings of clusters are on record." in words


def test_items_without_classes_and_noise(survey: Survey) -> None:
    words = page(replace(survey, counts={(4, ""): 6, (7, ""): 6}, noise_item_ids=())).words
    assert "Clusters 2 no item has a class" in words
    assert "NMI" not in words
    assert "Every item is in a cluster." in words


def test_names_are_escaped(survey: Survey) -> None:
    bad = "<script>alert('x')</script>&"
    found = page(
        replace(
            survey,
            collection=replace(survey.collection, name=bad, bundle=bad),
            labels=dict.fromkeys(survey.labels, bad),
            counts={(4, bad): 12},
        )
    )
    assert "script" not in found.tags
    assert bad in found.text


@pytest.mark.parametrize("count", [60, 70])
def test_more_clusters_and_classes_than_rows_and_columns(survey: Survey, count: int) -> None:
    counts = {(number, f"class {number:02}"): 1 for number in range(count)}
    clusters = tuple(
        Cluster(cluster=number, size=1, core_count=1, medoid_item_id="i/01.png", classes=()) for number in range(count)
    )
    words = page(
        replace(survey, counts=counts, clustering=replace(survey.clustering, clusters=clusters, noise_count=0))
    ).words
    assert f"{count - 50} others" in words
    assert f"{count - 12} other classes" in words


def test_a_class_mix_names_three_and_counts_the_rest() -> None:
    counts = {"a": 50, "b": 30, "": 12, "d": 5, "e": 3}
    classes = tuple(ClassCount(label=label, count=count) for label, count in counts.items())
    cluster = Cluster(cluster=0, size=100, core_count=1, medoid_item_id="x", classes=classes)
    assert class_mix(cluster) == "a 50 %, b 30 %, no class 12 %, 2 others 8 %"
    assert class_mix(replace(cluster, classes=classes[:2], size=80)) == "a 62 %, b 38 %"
