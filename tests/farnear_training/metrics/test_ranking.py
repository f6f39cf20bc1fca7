import itertools

import numpy as np
import pytest
import torch
from farnear_training.metrics import askable, chance, query_scores, ranking, retrieval
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.utils.accuracy_calculator import AccuracyCalculator
from pytorch_metric_learning.utils.inference import CustomKNN


def test_it_equals_pytorch_metric_learning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "_CHUNK", 37)  # several chunks, the last one short
    generator = np.random.default_rng(0)
    labels = np.concatenate([generator.integers(0, 6, 150), [6]])  # 6 is alone: no query
    vectors = (generator.normal(size=(151, 8)) + 2.5 * np.eye(8)[labels]).astype(np.float32)
    calculator = AccuracyCalculator(
        include=("precision_at_1", "r_precision", "mean_average_precision_at_r"),
        k="max_bin_count",
        knn_func=CustomKNN(CosineSimilarity()),
        device=torch.device("cpu"),
    )
    expected = calculator.get_accuracy(torch.from_numpy(vectors), torch.from_numpy(labels))
    found = retrieval(vectors, labels)
    assert found.precision_at_1 == pytest.approx(expected["precision_at_1"])
    assert found.r_precision == pytest.approx(expected["r_precision"])
    assert found.map_at_r == pytest.approx(expected["mean_average_precision_at_r"])
    assert 0.2 < found.map_at_r < 0.9


def test_an_example_checkable_by_eye() -> None:
    degrees = np.deg2rad([0, 10, 25, 90, 125])
    vectors = np.stack([np.cos(degrees), np.sin(degrees)], 1).astype(np.float32)
    # nearest two of each: 0: (10, 25), 10: (0, 25), 25: (10, 0), 90: (125, ...), 125: (90, ...)
    found = retrieval(vectors, np.array([0, 1, 0, 1, 0]))
    # labels of the others in order, up to R: 0: [1, 0], 10: [0], 25: [1, 0], 90: [0], 125: [1, 0]
    assert found.precision_at_1 == 0
    assert found.r_precision == pytest.approx((1 / 2 + 0 + 1 / 2 + 0 + 1 / 2) / 5)
    assert found.map_at_r == pytest.approx((1 / 4 + 0 + 1 / 4 + 0 + 1 / 4) / 5)


def test_lengths_do_not_matter_and_zero_vectors_are_like_nothing() -> None:
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(40, 4)).astype(np.float32)
    labels = generator.integers(0, 3, 40)
    before = vectors.copy()
    assert retrieval(vectors * np.linspace(1, 9, 40, dtype=np.float32)[:, None], labels) == retrieval(vectors, labels)
    assert np.array_equal(vectors, before)
    found = retrieval(np.array([[1, 0], [1, 0.1], [0, 0], [0, 0]], np.float32), np.array([0, 0, 1, 1]))
    assert found.precision_at_1 == 0.5  # to the last two all are equal, and the first image comes first


@pytest.mark.parametrize("labels", [[0, 0, 0, 1, 1], [0, 0, 1, 1, 1, 2], [0, 0]])
def test_chance_is_the_mean_over_all_orders(labels: list[int]) -> None:
    sums = np.zeros(3)
    queries = 0
    for query, label in enumerate(labels):
        relevant = labels.count(label) - 1
        if relevant == 0:
            continue
        queries += 1
        orders = list(itertools.permutations(labels[:query] + labels[query + 1 :]))
        for order in orders:
            hits = [int(other == label) for other in order[:relevant]]
            average = sum(hit * sum(hits[: i + 1]) / (i + 1) for i, hit in enumerate(hits)) / relevant
            sums += np.array([hits[0], sum(hits) / relevant, average]) / len(orders)
    found = chance(np.array(labels))
    assert [found.precision_at_1, found.r_precision, found.map_at_r] == pytest.approx((sums / queries).tolist())


def test_a_query_scores_the_same_alone_and_among_others() -> None:
    generator = np.random.default_rng(0)
    vectors, labels = generator.normal(size=(30, 4)).astype(np.float32), generator.integers(0, 4, 30)
    labels[7] = 4  # alone
    queries = askable(labels)
    assert queries.tolist() == [position for position in range(30) if position != 7]
    scores = query_scores(vectors, labels, queries)
    found = retrieval(vectors, labels)
    assert scores.mean(axis=0).tolist() == [found.precision_at_1, found.r_precision, found.map_at_r]
    np.testing.assert_array_equal(query_scores(vectors, labels, queries[[20, 3]]), scores[[20, 3]])


def test_without_a_pair_there_is_nothing_to_find() -> None:
    with pytest.raises(ValueError, match="no class has two images"):
        chance(np.array([0, 1, 2]))
    with pytest.raises(ValueError, match="no class has two images"):
        retrieval(np.eye(3, dtype=np.float32), np.array([0, 1, 2]))


def test_progress_is_told_of_every_query(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "_CHUNK", 4)
    told = list[int]()
    query_scores(np.eye(10, dtype=np.float32), np.arange(10) % 3, np.arange(10), told.append)
    assert told == [4, 4, 2]
