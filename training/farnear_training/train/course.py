"""How a run went, as its bundle tells it."""

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from farnear_training.train.validation import Validation

_POINTS = 200


def course(losses: Sequence[float], history: Sequence[Validation]) -> list[dict[str, float]]:
    """Rows with a `step` each, in its order, as JSON: the losses, thinned, and the validations.

    Args:
        losses: Of every step, one or more.
        history: The validations.

    Returns:
        Up to 200 rows with `loss`, the mean of the steps since the row before, and those of the validations with
        `precision_at_1`, `r_precision` and `map_at_r`.
    """
    parts = np.array_split(np.asarray(losses), min(_POINTS, len(losses)))
    steps = np.cumsum([len(part) for part in parts]).tolist()
    rows = [{"step": step, "loss": float(f"{part.mean():.6g}")} for step, part in zip(steps, parts, strict=True)]
    return sorted([*rows, *map(asdict, history)], key=lambda row: row["step"])
