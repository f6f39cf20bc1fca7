import json

import numpy as np
import pytest
from farnear_training.train.course import course
from farnear_training.train.validation import Validation

VALIDATION = Validation(step=2, precision_at_1=0.5, r_precision=0.4, map_at_r=0.3)


def test_a_short_run_is_told_step_by_step() -> None:
    assert course([3.0, 2.0, 1.0], [VALIDATION]) == [
        {"step": 1, "loss": 3.0},
        {"step": 2, "loss": 2.0},
        {"step": 2, "precision_at_1": 0.5, "r_precision": 0.4, "map_at_r": 0.3},
        {"step": 3, "loss": 1.0},
    ]


def test_a_long_run_is_told_in_means_of_neighbouring_steps() -> None:
    losses = np.random.default_rng(0).random(1010).tolist()
    rows = course(losses, [])
    assert len(rows) == 200
    assert rows[-1]["step"] == 1010
    start = 0
    for row in rows:
        assert row["step"] - start in (5, 6)
        assert row["loss"] == pytest.approx(sum(losses[start : row["step"]]) / (row["step"] - start), rel=1e-5)
        start = row["step"]


def test_the_course_of_a_long_run_stays_small() -> None:
    assert len(json.dumps(course((np.random.default_rng(0).random(100_000) / 3).tolist(), []))) < 10_000
