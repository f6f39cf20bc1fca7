from dataclasses import replace

import numpy as np
import pytest
from farnear_service.index import Approximate, Generation, build
from farnear_service.index.build import CALIBRATED_K, QUERIES, _probing
from farnear_service.index.exact import DIVERGENT, SIMILAR
from farnear_service.types import Direction, FloatArray, IndexKind, IndexSettings
from numpy.typing import NDArray

from tests.farnear_service.index.plain import copies, filled, sphere, unit

SETTINGS = IndexSettings(kind=IndexKind.APPROXIMATE, target_recall=0.95)


def clustered(count: int, dim: int, seed: int = 0) -> FloatArray:
    """Items around a few dozen directions, as the images of a few dozen kinds of damage are."""
    random = np.random.default_rng(seed)
    middles = sphere(np.random.default_rng(99), 40, dim)
    return unit(middles[random.integers(0, 40, count)] + 0.15 * random.normal(size=(count, dim)))


@pytest.fixture(scope="module")
def generation() -> Generation:
    """8,000 items, of which a tenth was removed."""
    index = filled(clustered(8000, 12))
    index.remove(range(0, 8000, 10))
    return index.now()


def shares_found(
    approximate: Approximate, generation: Generation, rows: NDArray[np.int64], k: int, end: int
) -> list[float]:
    """Of the first k neighbours at an end of each item in `rows`, itself not counted, the share that a search finds."""
    direction, ends = (Direction.SIMILAR, (True, False)) if end == SIMILAR else (Direction.DIVERGENT, (False, True))
    shares = []
    for row in rows:
        query = generation.vectors[row]
        ranked = approximate.search(
            generation.vectors, generation.columns, query, k + 1, ends=ends, live=generation.live
        )
        (exact,) = generation.search(query[None], k + 1, direction)
        hits = exact.similar if end == SIMILAR else exact.divergent
        assert hits is not None
        found = [other for other in ranked.rows[end, 0, : ranked.counts[end, 0]] if other != row][:k]
        true = [hit.key for hit in hits.hits if hit.key != generation.keys[row]][:k]
        shares.append(len(set(generation.keys[found].tolist()) & set(true)) / k)
    return shares


def test_lists_hold_every_item_once(generation: Generation) -> None:
    approximate = build(generation, SETTINGS)
    np.testing.assert_array_equal(np.sort(approximate.rows), np.flatnonzero(generation.live))
    np.testing.assert_array_equal(approximate.vectors, generation.vectors[approximate.rows])
    assert approximate.starts[0] == 0
    assert approximate.starts[-1] == len(approximate.rows) == approximate.item_count == 7200
    assert approximate.row_count == 8000
    nearest = (approximate.vectors @ approximate.centroids.T).argmax(axis=1)
    np.testing.assert_array_equal(
        nearest, np.repeat(np.arange(len(approximate.centroids)), np.diff(approximate.starts))
    )
    np.testing.assert_allclose(np.linalg.norm(approximate.centroids, axis=1), 1.0, atol=1e-5)


def test_the_certificates_are_what_a_search_finds_for_the_queries_that_were_held_back(generation: Generation) -> None:
    approximate = build(generation, SETTINGS, seed=3)
    drawn = np.random.default_rng(3).permutation(np.flatnonzero(generation.live))[:QUERIES]
    for end, probing in zip((SIMILAR, DIVERGENT), approximate.probing, strict=True):
        assert probing is not None
        assert [certificate.k for certificate in probing.certificates] == list(CALIBRATED_K)
        for certificate in probing.certificates:
            measured = shares_found(approximate, generation, drawn[QUERIES // 2 :], certificate.k, end)
            assert certificate.queries == len(measured)
            assert certificate.recall == pytest.approx(np.mean(measured), abs=1e-12)
            assert certificate.recall >= SETTINGS.target_recall


def test_other_queries_find_about_as_much(generation: Generation) -> None:
    approximate = build(generation, SETTINGS)
    others = np.random.default_rng(5).choice(np.flatnonzero(generation.live), 200, replace=False)
    for end in (SIMILAR, DIVERGENT):
        assert np.mean(shares_found(approximate, generation, others, 16, end)) >= SETTINGS.target_recall - 0.03


def test_more_recall_takes_more_lists(generation: Generation) -> None:
    depths = []
    for target in (0.5, 0.9, 0.99):
        similar, divergent = build(generation, replace(SETTINGS, target_recall=target)).probing
        assert similar is not None
        assert divergent is not None
        depths.append((similar.lists, divergent.lists))
    assert depths == sorted(depths)
    assert len(set(depths)) == 3
    assert all(similar != divergent for similar, divergent in depths)  # each end has its own


def test_an_end_is_probed_deeper_until_both_halves_find_the_target() -> None:
    """The first two queries need three lists; the other two need three and ten."""
    depths = np.repeat([[3], [3], [3], [10]], max(CALIBRATED_K), axis=1)
    shallow, deep = _probing(depths, np.linspace(0, 0.5, 20), 0.5), _probing(depths, np.linspace(0, 0.5, 20), 0.9)
    assert shallow is not None
    assert deep is not None
    assert (shallow.lists, [one.recall for one in shallow.certificates]) == (3, [0.5, 0.5])
    assert (deep.lists, [one.recall for one in deep.certificates]) == (10, [1.0, 1.0])
    assert _probing(depths, np.linspace(0, 1.5, 20), 0.9) is None  # ten lists would hold more than half of the items


def test_a_target_is_met_with_a_standard_error_to_spare() -> None:
    """Nine of ten queries need one list and the tenth needs five: one list finds 0.90 ± 0.03 for 100 queries."""
    depths = np.repeat(np.where(np.arange(200) % 10, 1, 5)[:, None], max(CALIBRATED_K), axis=1)
    lists = []
    for target in (0.86, 0.88):
        probing = _probing(depths, np.linspace(0, 0.5, 20), target)
        assert probing is not None
        lists.append(probing.lists)
    assert lists == [1, 5]


def test_an_end_that_is_no_cheaper_has_no_probing() -> None:
    """In many dimensions and without clusters, neighbours lie in lists all over."""
    approximate = build(filled(sphere(np.random.default_rng(1), 3000, 64)).now(), SETTINGS)
    assert approximate.probing == (None, None)
    assert len(approximate.vectors) == len(approximate.rows) == 0
    assert approximate.item_count == 3000


def test_equal_for_equal_vectors_settings_and_seed(generation: Generation) -> None:
    first, again, other = (build(generation, SETTINGS, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.rows, again.rows)
    np.testing.assert_array_equal(first.centroids, again.centroids)
    assert [one.lists for one in first.probing if one] == [one.lists for one in again.probing if one]
    assert not np.array_equal(first.centroids, other.centroids)


def test_many_equal_vectors() -> None:
    approximate = build(filled(copies(np.random.default_rng(2), 2000, 8)).now(), SETTINGS)
    assert approximate.item_count == 2000


def test_too_few_items_are_refused() -> None:
    with pytest.raises(ValueError, match="1023 items; an approximate index takes 1024"):
        build(filled(sphere(np.random.default_rng(3), 1023, 4)).now(), SETTINGS)
