"""The demo's images: the 2,624 solar cells of the package `elpv-dataset`, laid out as `class/file`.

Electroluminescence images, 300 x 300 px grey, cut from 44 solar modules (Buerhop-Lutz et al. 2018, Deitsch et al. 2019;
data CC BY-NC-SA 4.0). A class is the wafer type and the graded probability of a defect: `mono-0.00` ... `poly-1.00`.
"""

import shutil
from collections import Counter
from importlib import resources
from pathlib import Path


def source() -> Path:
    """The data folder of `elpv-dataset`; ModuleNotFoundError where it is not installed."""
    return Path(str(resources.files("elpv_dataset"))) / "data"


def lay_out(data: Path, folder: Path) -> dict[str, int]:
    """Put every cell at `folder/<class>/<file>`, as a hard link where the file system allows one, else as a copy.

    Args:
        data: Holds the images and `labels.csv`: on each line a path, the probability of a defect and the wafer type.
        folder: Made where it is missing; what is in it already stays.

    Returns:
        The number of images of each class, in order of the classes' names.
    """
    counts: Counter[str] = Counter()
    for line in (data / "labels.csv").read_text(encoding="utf-8").splitlines():
        path, probability, wafer = line.split()
        label = f"{wafer}-{float(probability):.2f}"
        target = folder / label / Path(path).name
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            _link_or_copy(data / path, target)
        counts[label] += 1
    return dict(sorted(counts.items()))


def _link_or_copy(original: Path, target: Path) -> None:
    try:
        target.hardlink_to(original)
    except OSError:  # another file system, or one without links
        shutil.copyfile(original, target)
