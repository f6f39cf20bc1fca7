import numpy as np
import pytest
from farnear_service.dbscan import PlaneDbscan, SphereDbscan

# Two clusters of three, and a border point between: as near to the one as to the other, or nearer to the right one.
LEFT, RIGHT = [(-2.0, 0.5), (-2.0, -0.5), (-1.0, 0.0)], [(2.0, 0.5), (2.0, -0.5), (1.0, 0.0)]


@pytest.mark.parametrize("turn", [1, -1])
@pytest.mark.parametrize(("keys", "at_left"), [((5, 9), True), ((9, 5), False)])
def test_of_equally_near_core_points_that_of_the_smaller_key(keys: tuple[int, int], at_left: bool, turn: int) -> None:
    """Whatever came first, and also when the border point was there before any core point."""
    points = [(20, LEFT[0]), (21, LEFT[1]), (30, RIGHT[0]), (31, RIGHT[1]), (keys[0], LEFT[2]), (keys[1], RIGHT[2])]
    points.insert(0 if turn == 1 else 6, (7, (0.0, 0.0)))
    engine = PlaneDbscan(eps=1.2, min_samples=3)
    for key, place in points[::turn]:
        engine.insert([key], [place])
    now = engine.snapshot()
    assert not now.core[now.keys == 7]
    assert now.of(7) == now.of(20 if at_left else 30)


def test_a_border_point_goes_over_to_a_nearer_core_point_and_back() -> None:
    engine = PlaneDbscan(eps=1.0, min_samples=4)
    engine.insert(range(4), [(-1.0, 0.0), (-1.5, 0.3), (-1.5, -0.3), (-1.8, 0.0)])
    engine.insert([4], [(-0.05, 0.0)])
    assert engine.snapshot().of(4) == 0
    engine.insert(range(10, 14), [(0.8, 0.0), (1.5, 0.3), (1.5, -0.3), (1.7, 0.0)])
    assert engine.snapshot().of(4) == 1
    assert dict(engine.sizes) == {0: 4, 1: 5}
    engine.delete([13])
    engine.delete([12])
    assert engine.snapshot().of(4) == 0
    assert dict(engine.sizes) == {0: 5}


def test_on_the_sphere_too_the_smaller_key_wins() -> None:
    """From (1, 1, 0, 0) / 2 ... (two axes) a vector between them has the same inner product with both."""
    between = (0.5, 0.5, 0.5, 0.5)
    for keys in ((1, 2), (2, 1)):
        engine = SphereDbscan(dim=4, eps=0.5, min_samples=4)
        first, second = np.eye(4)[:2]
        engine.insert([keys[0], 10, 11], [first, first, first])
        engine.insert([keys[1], 20, 21], [second, second, second])
        engine.insert([7], [between])
        now = engine.snapshot()
        assert now.core.tolist() == [key != 7 for key in now.keys]
        assert now.of(7) == now.of(1)
