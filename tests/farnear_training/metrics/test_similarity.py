import numpy as np
import pytest
from farnear_training.metrics import similarity
from farnear_training.metrics.similarity import cosine, nearest


@pytest.fixture(autouse=True)
def _several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similarity, "_BLOCK", 7)
    monkeypatch.setattr(similarity, "_CHUNK", 5)


def test_cosines_are_those_of_the_definition() -> None:
    generator = np.random.default_rng(0)
    queries, vectors = generator.normal(size=(3, 5)), generator.normal(size=(20, 5))
    vectors[4] = 0
    found = cosine(queries, vectors)
    for i, query in enumerate(queries):
        for j, vector in enumerate(vectors):
            length = np.sqrt(sum(query**2)) * np.sqrt(sum(vector**2))
            assert found[i, j] == pytest.approx(sum(query * vector) / length if length else 0, abs=1e-6)


def test_bytes_are_compared_as_numbers() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 6), dtype=np.uint8)
    np.testing.assert_array_equal(cosine(pixels, pixels), cosine(pixels.astype(np.float32), pixels.astype(np.float32)))


def test_the_nearest_come_in_order_and_equals_by_position() -> None:
    vectors = np.array([[1, 0], [0, 1], [2, 0], [1, 1], [-1, 0], [3, 0], [0, 2], [1, 2]], np.float32)
    before = vectors.copy()
    queries = np.array([[1, 0], [0, 1]], np.float32)
    positions, similarities = nearest(queries, vectors, 4)
    assert positions.tolist() == [[0, 2, 5, 3], [1, 6, 7, 3]]
    np.testing.assert_allclose(similarities, [[1, 1, 1, 0.5**0.5], [1, 1, 0.8**0.5, 0.5**0.5]], atol=1e-6)
    assert nearest(queries, vectors, 2, own=np.array([0, 6]))[0].tolist() == [[2, 5], [1, 7]]
    assert np.array_equal(vectors, before)


def test_every_chunk_leaves_out_its_own() -> None:
    vectors = np.random.default_rng(0).normal(size=(17, 3)).astype(np.float32)
    own = np.array([16, 2, 9, 0, 1, 5, 13])
    positions, _ = nearest(vectors[own], vectors, 16, own=own)
    for query, row in zip(own.tolist(), positions.tolist(), strict=True):
        assert sorted([*row, query]) == list(range(17))


def test_more_neighbours_than_there_are_is_refused() -> None:
    vectors = np.eye(3, dtype=np.float32)
    with pytest.raises(ValueError, match="k: 4; allowed is 1 to 3"):
        nearest(vectors, vectors, 4)
    with pytest.raises(ValueError, match="k: 3; allowed is 1 to 2"):
        nearest(vectors, vectors, 3, own=np.arange(3))
