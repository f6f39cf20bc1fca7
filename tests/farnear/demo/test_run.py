import json
from pathlib import Path

import numpy as np
import pytest
from farnear.demo import cells
from farnear.demo.run import TrainingSettings, demo
from PIL import Image

SETTINGS = TrainingSettings(iterations=2, image_size=16, seed=0)
CLASSES = ("mono-0.00", "poly-1.00")


@pytest.fixture
def few_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty made-up cells in place of the real ones: light ones, and dark ones with a stripe."""
    data = tmp_path / "data"
    (data / "images").mkdir(parents=True)
    generator = np.random.default_rng(0)
    lines = []
    for number in range(40):
        pixels = generator.integers(150, 200, (24, 24), dtype=np.uint8)
        if number % 2:
            pixels //= 4
            pixels[:, 10:14] = 250
        Image.fromarray(pixels).save(data / "images" / f"cell{number:02}.png")
        lines.append(f"images/cell{number:02}.png {number % 2:.1f} {'poly' if number % 2 else 'mono'}")
    (data / "labels.csv").write_text("\n".join(lines))
    monkeypatch.setattr(cells, "source", lambda: data)


@pytest.mark.usefixtures("few_cells")
def test_from_images_to_a_report_and_again_with_reuse(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    documents = []
    for reuse in (False, True):
        demo(SETTINGS, work=tmp_path / "work", report_folder=tmp_path / "report", reuse=reuse, as_json=True)
        documents.append(json.loads(capsys.readouterr().out))
    first, second = documents
    bundle = json.loads((tmp_path / "work" / "bundle" / "bundle.json").read_text())
    assert first["digest"] == second["digest"] == bundle["digest"]
    assert (first["training_reused"], second["training_reused"]) == (False, True)
    assert (first["images"], first["classes"]) == (second["images"], second["classes"]) == (40, 2)
    assert first["evaluation"]["precision_at_1"] == bundle["evaluation"]["precision_at_1"]

    html = (tmp_path / "report" / "index.html").read_text()
    split = json.loads((tmp_path / "work" / "bundle" / "split.json").read_text())
    for label in CLASSES:
        asked = html.partition(f"class {label}, the one asked about")[0].rpartition('alt="Cell ')[2].rstrip(", ")
        assert f"{label}/{asked}.png" in split["test"]
    # Both cells that were asked about, with ten pictures at either end.
    assert html.count(", similarity ") == 2 * 20
