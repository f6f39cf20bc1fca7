"""Training as a user does it: `farnear train` as a process of its own."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from farnear.command import RefusedError

# A solar cell has no up or left, so mirrored ones are as real.
_OPTIONS = (
    *("--name", "elpv", "--test-fraction", "0.3", "--augmentation", "flips-erasing"),
    *("--loss", "mn-pair", "--temperature", "0.1", "--learning-rate", "1e-3"),
)


def train(cells: Path, bundle: Path, *, iterations: int, image_size: int, seed: int) -> dict[str, Any]:
    """Learn the images of `cells` and write the bundle; its progress bars appear on stderr.

    Returns:
        What `farnear train --json` prints, and with it `seconds`, the time it took in all.

    Raises:
        RefusedError: It did not come to its end; it has said why on stderr.
    """
    command = [sys.executable, "-m", "farnear", "train", str(cells), "--out", str(bundle), "--json", *_OPTIONS]
    command += ["--iterations", str(iterations), "--image-size", str(image_size), "--seed", str(seed)]
    began = time.perf_counter()
    # A process group of its own: Ctrl-C in the terminal reaches the demo alone, which then ends the training.
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, process_group=0, check=False)
    if finished.returncode:
        raise RefusedError(f"the training ended with exit code {finished.returncode}")
    record: dict[str, Any] = json.loads(finished.stdout)
    return record | {"seconds": time.perf_counter() - began}
