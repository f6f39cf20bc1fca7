"""Synthetic surfaces for end-to-end tests: two kinds of marks on a rough ground."""

import io
from pathlib import Path

import numpy as np
from PIL import Image


def surface(kind: str, seed: int, size: int = 48) -> bytes:
    """A PNG of a rough grey surface, `scratched` by lines or `spotted` by blobs; another for every seed."""
    random = np.random.default_rng([seed, len(kind)])
    pixels = random.normal(128, 12, (size, size))
    rows, columns = np.mgrid[:size, :size]
    for _ in range(3):
        row, column = random.uniform(8, size - 8, 2)
        if kind == "scratched":
            slope = random.uniform(-0.3, 0.3)
            pixels[np.abs(columns - column - slope * (rows - row)) < 1] -= 90
        else:
            pixels[(rows - row) ** 2 + (columns - column) ** 2 < random.uniform(9, 25)] += 90
    out = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(out, "PNG")
    return out.getvalue()


def write_surfaces(folder: Path, count: int) -> Path:
    """Writes `count` surfaces of each kind as `kind/NNN.png`."""
    for kind in ("scratched", "spotted"):
        (folder / kind).mkdir(parents=True)
        for number in range(count):
            (folder / kind / f"{number:03}.png").write_bytes(surface(kind, number))
    return folder
