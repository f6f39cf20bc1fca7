import io
from pathlib import Path

import numpy as np
import pytest
from farnear.command import RefusedError
from farnear.heatmaps.sheet import Row, Sheet, Tile, html, png, write
from PIL import Image

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
        [Row(title="on the\nquery", tiles=[tile("blue", "c.png")])],
    ],
    side=20,
)


def test_a_png_has_a_tile_for_each_picture() -> None:
    pixels = np.asarray(Image.open(io.BytesIO(png(SHEET))))
    assert [int((pixels == colour).all(axis=2).sum()) for colour in (BLUE, RED)] == [2 * 400, 2 * 400]
    rows, _ = np.nonzero((pixels == RED).all(axis=2))
    blue_rows, _ = np.nonzero((pixels == BLUE).all(axis=2))
    assert blue_rows.min() < rows.min() < rows.max() < blue_rows.max()


def test_a_page_tells_it_all_in_one_file() -> None:
    page = Page(html(SHEET))
    assert [image["alt"] for image in page.images] == [
        "images: a.png",
        "heat maps: 0 to 1",
        "heat maps: 0 to 2",
        "on the query: c.png",
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
