import numpy as np
import pytest
from farnear_service.maps import distances_to_nearest, quality

from tests.farnear_service.maps.conftest import groups


def test_distances_are_those_of_plain_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "_AT_ONCE", 7)
    landmarks, vectors = groups(30, seed=1), groups(20, seed=2)
    expected = [min(1 - float(vector @ one) for one in landmarks) for vector in vectors]
    np.testing.assert_allclose(distances_to_nearest(landmarks, vectors), expected, atol=1e-6)
    own = np.random.default_rng(0).permutation(30)[:20]
    expected = [
        min(1 - float(landmarks[row] @ one) for other, one in enumerate(landmarks) if other != row) for row in own
    ]
    np.testing.assert_allclose(distances_to_nearest(landmarks, landmarks[own], own), expected, atol=1e-6)


def test_a_landmark_alone_has_no_other() -> None:
    one = groups(1, seed=0)
    assert distances_to_nearest(one, one, np.array([0])).tolist() == [np.inf]
    assert distances_to_nearest(one, one)[0] == pytest.approx(0, abs=1e-6)
    assert distances_to_nearest(one, one[:0]).tolist() == []
