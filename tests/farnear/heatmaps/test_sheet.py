import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from farnear.command import RefusedError
from farnear.heatmaps.sheet import Row, Sheet, Tile, html, png, write
from PIL import Image, ImageDraw

from tests.farnear.page import Page

RED, BLUE = (255, 0, 0), (0, 0, 255)


def tile(colour: str, caption: str = "") -> Tile:
    return Tile(caption=caption, image=Image.new("RGB", (20, 20), colour))


SHEET = Sheet(
    title="Cracks & <rust>",
    lead="Where from.",
    groups=[
        [
            Row(title="images", tiles=[tile("blue", "a.png"), Tile(caption="b.png", reason="not kept")]),
            Row(title="heat maps", tiles=[tile("red", "0 to 1"), tile("red", "0 to 2")]),
        ],
        [Row(title="on the query", tiles=[tile("blue", "c.png\nrank 1, 0.994")])],
    ],
    side=20,
)


def test_a_png_has_a_tile_for_each_picture() -> None:
    pixels = np.asarray(Image.open(io.BytesIO(png(SHEET))))
    assert [int((pixels == colour).all(axis=2).sum()) for colour in (BLUE, RED)] == [2 * 400, 2 * 400]
    rows, _ = np.nonzero((pixels == RED).all(axis=2))
    blue_rows, _ = np.nonzero((pixels == BLUE).all(axis=2))
    assert blue_rows.min() < rows.min() < rows.max() < blue_rows.max()


def inked(drawn: Sheet) -> np.ndarray:
    """Which pixels of its PNG are not white."""
    pixels: np.ndarray = np.asarray(Image.open(io.BytesIO(png(drawn))).convert("L")) < 255
    return pixels


def captioned(caption: str) -> Sheet:
    rows = [Row(title="", tiles=[tile("blue", caption), tile("blue")])]
    return Sheet(title="T", lead="", groups=[rows], side=20)


def test_captions_stand_below_their_tiles() -> None:
    blank, one, two = (inked(captioned(caption)) for caption in ("", "1.", "1.\n1."))
    left, right = np.flatnonzero(inked(captioned("")).sum(axis=0) >= 20)[[0, 20]]
    for lines in (one, two):
        assert lines[blank.shape[0] - 6 :, left:right].any()
        assert not lines[blank.shape[0] - 6 :, :left].any()
        assert not lines[blank.shape[0] - 6 :, right:].any()
    assert two.shape[0] - one.shape[0] == one.shape[0] - blank.shape[0] > 0


def test_long_captions_are_shortened_in_the_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folder and number stay; what is cut is not drawn over the next tile."""
    said: list[str] = []
    write_text = ImageDraw.ImageDraw.multiline_text

    def noted(pen: ImageDraw.ImageDraw, place: Any, text: str, *arguments: Any) -> None:
        said.append(text)
        write_text(pen, place, text, *arguments)

    monkeypatch.setattr(ImageDraw.ImageDraw, "multiline_text", noted)
    name = "scratches/2026-11-22/line-4/camera-2/0000012345.png"
    png(Sheet(title="T", lead="", groups=[[Row(title="", tiles=[tile("blue", f"{name}\nrank 12, 0.994")])]], side=112))
    first, second = said[-1].splitlines()
    start, end = first.split("…")
    assert name.startswith(start)
    assert name.endswith(end)
    assert len(end) > len(start) >= 5
    assert second == "rank 12, 0.994"


def test_where_nothing_was_found_the_title_is_left() -> None:
    assert inked(Sheet(title="T", lead="Nothing.", groups=[], side=20)).any()


def test_a_page_tells_it_all_in_one_file() -> None:
    page = Page(html(SHEET))
    assert [image["alt"] for image in page.images] == [
        "images: a.png",
        "heat maps: 0 to 1",
        "heat maps: 0 to 2",
        "on the query: c.png, rank 1, 0.994",
    ]
    assert all(reference.startswith("data:") for reference in page.references)
    for text in ("Cracks & <rust>", "Where from.", "not kept", "a.png", "b.png", "on the query"):
        assert text in page.words


def test_what_ends_in_html_is_a_page(tmp_path: Path) -> None:
    write(SHEET, tmp_path / "sheet.html")
    write(SHEET, tmp_path / "sheet.png")
    assert (tmp_path / "sheet.html").read_text("utf-8") == html(SHEET)
    assert (tmp_path / "sheet.png").read_bytes() == png(SHEET)
    with pytest.raises(RefusedError, match="Is a directory"):
        write(SHEET, tmp_path)
