import numpy as np
import pytest
from farnear_training.metrics import classification
from farnear_training.metrics.classification import confusion, k_nearest, logistic_regression
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix, top_k_accuracy_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler


def blobs(count: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Unit vectors (count, 6) around the axes of five classes, with overlap."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 5, count)
    vectors = np.eye(6)[labels] + generator.normal(scale=0.5, size=(count, 6))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), labels


@pytest.mark.parametrize("k", [1, 3, 5])
def test_the_vote_is_scikit_learns_where_it_is_clear(k: int) -> None:
    references, labels = blobs(200, 0)
    queries, _ = blobs(80, 1)
    plain = KNeighborsClassifier(k, algorithm="brute").fit(references, labels)
    shares = np.sort(plain.predict_proba(queries), axis=1)
    clear = shares[:, -1] > shares[:, -2]
    assert clear.sum() > 50
    np.testing.assert_array_equal(k_nearest(references, labels, queries, k)[clear], plain.predict(queries)[clear])


def test_of_classes_equally_common_the_nearest_stands() -> None:
    degrees = np.deg2rad([5, 10, 15, 20, 40])
    references = np.stack([np.cos(degrees), np.sin(degrees)], 1).astype(np.float32)
    labels = np.array([3, 1, 1, 3, 0])
    query = np.array([[1, 0]], np.float32)
    assert [k_nearest(references, labels, query, k)[0] for k in (1, 2, 3, 4, 5)] == [3, 3, 1, 3, 3]


def test_the_regression_is_scikit_learns_on_scaled_values() -> None:
    references, labels = blobs(150, 0)
    queries, expected = blobs(60, 1)
    before = references.copy()
    scaler = StandardScaler().fit(references.astype(np.float64))
    plain = LogisticRegression(max_iter=1000).fit(scaler.transform(references.astype(np.float64)), labels)
    probabilities = plain.predict_proba(scaler.transform(queries.astype(np.float64)))
    found = logistic_regression(references, labels, queries)
    assert found.has_converged
    np.testing.assert_array_equal(found.labels[:, 0], probabilities.argmax(axis=1))
    for k in (1, 3):
        assert found.hits(expected, k).mean() == top_k_accuracy_score(expected, probabilities, k=k)
    assert np.array_equal(references, before)


def test_only_classes_of_the_references_are_told() -> None:
    references, labels = blobs(100, 0)
    kept = (labels == 1) | (labels == 4)
    found = logistic_regression(references[kept], labels[kept], references)
    assert found.labels.shape == (100, 2)
    assert set(found.labels.ravel().tolist()) == {1, 4}
    assert not found.hits(labels, 2)[labels == 0].any()


def test_one_class_cannot_be_told_from_nothing() -> None:
    with pytest.raises(ValueError, match="one class only"):
        logistic_regression(np.eye(3, dtype=np.float32), np.zeros(3, np.int64), np.eye(3, dtype=np.float32))


def test_a_regression_cut_short_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classification, "_MAX_ITERATIONS", 2)
    references, labels = blobs(100, 0)
    assert not logistic_regression(references, labels, references).has_converged


def test_the_confusion_matrix_is_scikit_learns() -> None:
    generator = np.random.default_rng(0)
    labels, told = generator.integers(0, 4, 50), generator.integers(0, 4, 50)
    np.testing.assert_array_equal(confusion(labels, told, 5), confusion_matrix(labels, told, labels=range(5)))
