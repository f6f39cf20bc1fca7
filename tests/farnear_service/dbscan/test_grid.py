import math

import numpy as np
from farnear_service.dbscan import PlaneDbscan
from farnear_service.dbscan.grid import find_near
from hypothesis import given, settings
from hypothesis import strategies as st

EPS = 1.7

# Around the borders of cells, near the origin and as far as the grid goes.
places = st.builds(
    lambda cell, part, nudge: (cell + part + nudge) * EPS / math.sqrt(2),
    st.one_of(st.integers(-3, 3), st.integers(2**29, 2**29 + 3), st.integers(-(2**29) - 3, -(2**29))),
    st.sampled_from([0.0, 0.5]),
    st.sampled_from([0.0, 1e-9, -1e-9, 1e-6, -1e-6, 2e-16]),
)


@settings(max_examples=200, deadline=None)
@given(st.tuples(places, places), st.floats(0, 2 * math.pi))
def test_whatever_is_within_eps_is_in_a_cell_near(at: tuple[float, float], angle: float) -> None:
    """A point, another just within eps, and a third in its own cell."""
    engine = PlaneDbscan(eps=EPS, min_samples=5)
    other = at[0] + EPS * math.cos(angle), at[1] + EPS * math.sin(angle)
    engine.insert([0, 1], [at, other])
    g = engine._tables
    key = g.points["key"].tolist()
    p, q = np.int32(key.index(0)), np.int32(key.index(1))
    near = g.lists["near"][: find_near(g, p)].tolist()
    dx, dy = g.points["x"][p] - g.points["x"][q], g.points["y"][p] - g.points["y"][q]
    within = dx * dx + dy * dy <= EPS * EPS
    assert g.points["cell"][p] in near
    assert g.points["neighbours"][p] == 1 + within
    if within:
        assert g.points["cell"][q] in near
    if g.points["cell"][p] == g.points["cell"][q]:
        assert within
