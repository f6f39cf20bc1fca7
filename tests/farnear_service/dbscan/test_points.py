import pytest
from farnear_service.dbscan import PlaneDbscan, SphereDbscan

# Around (0, 0), which makes the last of each core.
LEFT, RIGHT = [(-2.0, 0.5), (-2.0, -0.5), (-1.0, 0.0)], [(2.0, 0.5), (2.0, -0.5), (1.0, 0.0)]


@pytest.mark.parametrize("when", [0, 3, 6])
@pytest.mark.parametrize(("keys", "at_left"), [((5, 9), True), ((9, 5), False)])
def test_of_equally_near_core_points_that_of_the_smaller_key(keys: tuple[int, int], at_left: bool, when: int) -> None:
    """Whatever came first, also if the border point was there before any core point."""
    points = [(20, LEFT[0]), (21, LEFT[1]), (keys[0], LEFT[2]), (30, RIGHT[0]), (31, RIGHT[1]), (keys[1], RIGHT[2])]
    points.insert(when, (7, (0.0, 0.0)))
    engine = PlaneDbscan(eps=1.2, min_samples=4)
    for key, place in points:
        engine.insert([key], [place])
    now = engine.snapshot()
    assert now.keys[now.core].tolist() == [5, 9]
    assert now.of(7) == now.of(20 if at_left else 30) != now.of(30 if at_left else 20)


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
    """Two axes, each with two vectors at its far side that make it core, and a vector at distance 1/2 of both axes."""
    for keys in ((1, 2), (2, 1)):
        engine = SphereDbscan(dim=4, eps=0.5, min_samples=4)
        engine.insert([keys[0], 10, 11], [[1.0, 0.0, 0.0, 0.0], *2 * [[0.5, -0.5, -0.5, -0.5]]])
        engine.insert([keys[1], 20, 21], [[0.0, 1.0, 0.0, 0.0], *2 * [[-0.5, 0.5, -0.5, -0.5]]])
        engine.insert([7], [[0.5, 0.5, 0.5, 0.5]])
        now = engine.snapshot()
        assert now.keys[now.core].tolist() == [1, 2]
        assert now.of(7) == now.of(1) != now.of(2)
