from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from farnear_service.columns import Columns
from farnear_service.dbscan import PlaneDbscan
from farnear_service.errors import NotFoundError
from farnear_service.index import Generation, Index
from farnear_service.maps import MapSettings
from farnear_service.pipeline.attribute_summaries import AttributeSummary, attribute_summaries
from farnear_service.pipeline.cluster_questions import detail, map_points, medoid, suggestion, summaries
from farnear_service.pipeline.durable_clusters import ClusterView
from farnear_service.types import AttributeValue, FloatArray, IndexSettings
from sklearn.cluster import DBSCAN
from sklearn.neighbors import NearestNeighbors

SETTINGS = MapSettings(eps=1.5, min_samples=3)


def view_at(positions: np.ndarray, settings: MapSettings = SETTINGS) -> ClusterView:
    """Items 1, 2, ... at positions."""
    engine = PlaneDbscan(eps=settings.eps, min_samples=settings.min_samples)
    engine.insert(np.arange(1, len(positions) + 1), positions)
    return ClusterView(version=1, settings=settings, snapshot=engine.snapshot(), sizes=dict(engine.sizes))


def generation(vectors: FloatArray, *, removed: Sequence[int] = ()) -> Generation:
    index = Index(vectors.shape[1], IndexSettings())
    index.add(
        np.arange(1, len(vectors) + 1),
        [f"item {number:03d}" for number in range(len(vectors))],
        [("crack", "rust", "")[number % 3] for number in range(len(vectors))],
        [0.0] * len(vectors),
        [{"depth": float(number)} if number % 2 else {} for number in range(len(vectors))],
        vectors,
    )
    index.remove(removed)
    return index.now()


def unit(count: int, seed: int = 0) -> FloatArray:
    vectors = np.random.default_rng(seed).normal(size=(count, 4))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def scattered() -> np.ndarray:
    chance = np.random.default_rng(1)
    return np.array([(0, 0), (8, 0), (0, 9)])[chance.integers(0, 3, 120)] + chance.normal(size=(120, 2))


def test_points_are_the_present_items(scattered: np.ndarray) -> None:
    view = view_at(scattered)
    points = map_points(view, generation(unit(120), removed=[1, 120]))
    assert points.item_ids == [f"item {number:03d}" for number in range(1, 119)]
    np.testing.assert_array_equal(points.positions, scattered[1:119])
    np.testing.assert_array_equal(points.clusters, view.snapshot.labels[1:119])
    assert points.labels[:3] == ["rust", "", "crack"]


def test_summaries_are_those_of_plain_loops(scattered: np.ndarray) -> None:
    view, vectors = view_at(scattered), unit(120)
    now = generation(vectors, removed=[3, 4])
    expected = []
    for cluster in view.sizes:
        members = [row for row in range(120) if view.snapshot.labels[row] == cluster and row not in (2, 3)]
        double = vectors.astype(np.float64)
        sums = {row: sum(1 - float(double[row] @ double[other]) for other in members) for row in members}
        centre = min(members, key=lambda row: (round(sums[row], 9), row))
        counts = Counter(("crack", "rust", "")[row % 3] for row in members)
        expected.append(
            (
                cluster,
                len(members),
                sum(bool(view.snapshot.core[row]) for row in members),
                f"item {centre:03d}",
                tuple(sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))),
            )
        )
    expected.sort(key=lambda entry: (-entry[1], entry[0]))
    assert len(expected) > 1, "the case must have clusters"
    found = summaries(view, now)
    assert [(one.cluster, one.size, one.core_count, one.medoid, one.classes) for one in found] == expected
    assert [medoid(view, now, one.cluster) for one in found] == [one.medoid for one in found]
    assert [detail(view, now, one.cluster, after=None, limit=1).summary for one in found] == found


def test_a_cluster_whose_members_are_all_gone_is_in_no_list(scattered: np.ndarray) -> None:
    view = view_at(scattered)
    gone = view.snapshot.keys[view.snapshot.labels == 0].tolist()
    now = generation(unit(120), removed=gone)
    assert 0 not in {one.cluster for one in summaries(view, now)}
    for question in (lambda: medoid(view, now, 0), lambda: detail(view, now, 0, after=None, limit=1)):
        with pytest.raises(NotFoundError, match="cluster: there is no 0 now"):
            question()


def test_members_come_in_order_of_id_and_in_pages(scattered: np.ndarray) -> None:
    view, now = view_at(scattered), generation(unit(120))
    everyone = detail(view, now, 0, after=None, limit=1000).member_ids
    assert everyone == tuple(f"item {row:03d}" for row in range(120) if view.snapshot.labels[row] == 0)
    assert detail(view, now, 0, after=everyone[3], limit=4).member_ids == everyone[4:8]
    assert detail(view, now, 0, after=everyone[-1], limit=4).member_ids == ()


def test_density_and_neighbours_are_those_of_plain_loops(scattered: np.ndarray) -> None:
    view, now = view_at(scattered), generation(unit(120))
    labels, core = view.snapshot.labels, view.snapshot.core
    apart = np.linalg.norm(scattered[:, None] - scattered[None], axis=2)
    for cluster in view.sizes:
        mine = core & (labels == cluster)
        found = detail(view, now, cluster, after=None, limit=1)
        assert found.density == pytest.approx((apart[mine] <= 1.5).sum(axis=1).mean() / (np.pi * 1.5**2))
        others = [(float(apart[mine][:, core & (labels == one)].min()), one) for one in view.sizes if one != cluster]
        assert [one for one, _ in found.nearest] == [one for _, one in sorted(others)][:5]
        assert [far for _, far in found.nearest] == pytest.approx([far for far, _ in sorted(others)][:5])


def test_noise_has_members_but_no_middle(scattered: np.ndarray) -> None:
    view, now = view_at(scattered), generation(unit(120))
    found = detail(view, now, -1, after=None, limit=1000)
    assert found.summary.size == len(found.member_ids) == view.noise_count > 0
    assert (found.summary.core_count, found.summary.medoid, found.density, found.nearest) == (0, "", 0.0, ())


def test_a_cluster_alone_has_no_neighbours() -> None:
    view = view_at(np.zeros((5, 2)))
    assert detail(view, generation(unit(5)), 0, after=None, limit=1).nearest == ()


# An eps to suggest


def test_the_curve_is_that_of_scikit_learn(scattered: np.ndarray) -> None:
    view = view_at(scattered)
    found = suggestion(view, SETTINGS)
    distances = np.sort(NearestNeighbors(n_neighbors=3).fit(scattered).kneighbors(scattered)[0][:, -1])
    np.testing.assert_allclose(found.distances, distances)
    ends = np.linspace(distances[0], distances[-1], 120)
    assert found.eps == pytest.approx(distances[np.argmax(ends - distances)])
    labels = DBSCAN(eps=found.eps, min_samples=3).fit(scattered).labels_
    assert (found.cluster_count, found.noise_count) == (labels.max() + 1, (labels == -1).sum())


def test_groups_and_strays_are_told_apart() -> None:
    """Three dense groups and twenty strays: the knee lies between the distances within and those without."""
    chance = np.random.default_rng(2)
    groups = np.array([(0, 0), (50, 0), (0, 50)])[np.arange(300) % 3] + chance.normal(size=(300, 2))
    strays = chance.uniform(-200, 200, (20, 2))
    found = suggestion(view_at(np.concatenate([groups, strays])), MapSettings(min_samples=10))
    assert 1 < found.eps < 20
    assert found.cluster_count == 3


def test_a_long_curve_is_thinned_out_evenly() -> None:
    points = np.random.default_rng(3).normal(size=(1001, 2))
    found = suggestion(view_at(points), SETTINGS)
    distances = np.sort(NearestNeighbors(n_neighbors=3).fit(points).kneighbors(points)[0][:, -1])
    assert len(found.distances) == 200
    np.testing.assert_allclose(found.distances, distances[np.linspace(0, 1000, 200).round().astype(int)])


def test_items_that_all_lie_in_one_place_have_no_eps() -> None:
    found = suggestion(view_at(np.zeros((5, 2))), SETTINGS)
    assert (found.eps, found.cluster_count, found.noise_count) == (0.0, 0, 0)


# Attributes


def summarised(attributes: Sequence[Mapping[str, AttributeValue]], rows: Sequence[int]) -> Any:
    columns = Columns()
    count = len(attributes)
    columns.append([f"{number}" for number in range(count)], [""] * count, [0.0] * count, attributes)
    return attribute_summaries(columns.now(), np.array(rows, np.int64))


def test_attributes_are_summarised_by_their_type() -> None:
    day = datetime(2026, 5, 1, 12, 30, 0, 5, tzinfo=UTC)
    rows: list[dict[str, AttributeValue]] = [
        {"who": "ada", "depth": 3.0, "wet": True, "taken": day},
        {"who": "bob", "depth": 1.0, "wet": False},
        {"who": "ada", "depth": 2.0},
        {"who": "cyd", "depth": 9.0, "wet": True, "taken": day.replace(year=2020)},
        {"who": "nobody", "depth": -5.0, "only": "elsewhere"},
    ]
    assert summarised(rows, [0, 1, 2, 3]) == (
        AttributeSummary(name="depth", count=4, range=(1.0, 2.0, 9.0)),
        AttributeSummary(name="taken", count=2, range=(day.replace(year=2020), day.replace(year=2020), day)),
        AttributeSummary(name="wet", count=3, values=((True, 2), (False, 1))),
        AttributeSummary(name="who", count=4, values=(("ada", 2), ("bob", 1), ("cyd", 1))),
    )
    assert summarised(rows, []) == ()


def test_of_many_values_the_ten_most_frequent_are_told() -> None:
    rows = [{"who": f"{number % 13:02d}"} for number in range(30)]
    (found,) = summarised(rows, range(30))
    assert [count for _, count in found.values] == [3] * 4 + [2] * 6
    assert [value for value, _ in found.values] == [f"{number:02d}" for number in range(10)]
