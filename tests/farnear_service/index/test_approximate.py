import numpy as np
import pytest
from farnear_service.index.approximate import Approximate, Probing
from farnear_service.index.exact import DIVERGENT, SIMILAR
from farnear_service.types import Certificate

from tests.farnear_service.index.plain import Item, brute_force, filled, listed, scrambled_ids, sphere, unit

COUNT, LISTS, DIM = 3000, 20, 8


def certificate(k: int) -> Certificate:
    return Certificate(recall=0.9, k=k, queries=1, time=0.0)


@pytest.fixture
def parted() -> Approximate:
    """Random items in the lists of random centroids, of which three are probed for similar and five for divergent."""
    random = np.random.default_rng(0)
    vectors, centroids = sphere(random, COUNT, DIM), sphere(random, LISTS, DIM)
    list_of = (vectors @ centroids.T).argmax(axis=1)
    rows = np.argsort(list_of, kind="stable")
    return Approximate(
        centroids=centroids,
        vectors=vectors[rows],
        rows=rows,
        starts=np.concatenate([[0], np.cumsum(np.bincount(list_of, minlength=LISTS))]),
        probing=(Probing(lists=3, certificates=(certificate(5),)), Probing(lists=5, certificates=(certificate(9),))),
        item_count=COUNT,
        row_count=COUNT,
        numbering=0,
    )


def items_of(parted: Approximate) -> dict[int, Item]:
    ids = scrambled_ids(COUNT)
    return {
        row: Item(ids[row], vector) for row, vector in sorted(zip(parted.rows.tolist(), parted.vectors, strict=True))
    }


def probed(parted: Approximate, lists: np.ndarray) -> set[int]:
    return {int(row) for one in lists for row in parted.rows[parted.starts[one] : parted.starts[one + 1]]}


@pytest.mark.parametrize("dead", [False, True])
def test_the_nearest_or_the_farthest_lists_are_searched_exactly(parted: Approximate, dead: bool) -> None:
    random = np.random.default_rng(1)
    items = items_of(parted)
    now = filled(np.stack([item.vector for item in items.values()])).now()
    live = random.random(COUNT) < 0.5 if dead else np.ones(COUNT, np.bool_)
    for query in sphere(random, 30, DIM):
        order = np.argsort(parted.centroids @ query)
        found = parted.search(now.vectors, now.columns, query, 20, ends=(True, True), live=live if dead else None)
        for end, lists in ((SIMILAR, order[-3:]), (DIVERGENT, order[:5])):
            within = {row: items[row] for row in probed(parted, lists) if live[row]}
            assert listed(found, now.columns, end) == brute_force(within, query, 20, divergent=end == DIVERGENT)


def test_one_end_alone(parted: Approximate) -> None:
    now = filled(np.stack([item.vector for item in items_of(parted).values()])).now()
    found = parted.search(now.vectors, now.columns, now.vectors[0], 5, ends=(False, True), live=None)
    assert found.counts.tolist() == [[0], [5]]


def test_the_certificate_is_that_of_the_next_k() -> None:
    probing = Probing(lists=1, certificates=(certificate(16), certificate(128)))
    assert [probing.certificate(k) for k in (1, 16, 17, 128, 129)] == [
        certificate(16),
        certificate(16),
        certificate(128),
        certificate(128),
        None,
    ]


def test_certificates_of_both_ends(parted: Approximate) -> None:
    assert parted.certificates(5) == (certificate(5), certificate(9))
    assert parted.certificates(6) == (None, certificate(9))


def test_renumbered_lists_hold_what_stayed(parted: Approximate) -> None:
    stays = np.flatnonzero(np.random.default_rng(2).random(COUNT) < 0.8)
    new_rows = np.full(COUNT, -1)
    new_rows[stays] = np.arange(len(stays))
    moved = parted.renumbered(new_rows)
    assert (moved.row_count, moved.item_count, moved.numbering) == (len(stays), COUNT, 1)
    for one in range(LISTS):
        before, after = slice(*parted.starts[one : one + 2]), slice(*moved.starts[one : one + 2])
        kept = new_rows[parted.rows[before]] >= 0
        np.testing.assert_array_equal(moved.rows[after], new_rows[parted.rows[before]][kept])
        np.testing.assert_array_equal(moved.vectors[after], parted.vectors[before][kept])


def test_rows_that_are_newer_than_the_lists_stay_newer(parted: Approximate) -> None:
    """Ten rows came since; every second row goes."""
    new_rows = np.where(np.arange(COUNT + 10) % 2 == 0, np.arange(COUNT + 10) // 2, -1)
    moved = parted.renumbered(new_rows)
    assert moved.row_count == COUNT // 2
    vectors = np.concatenate([np.zeros((COUNT // 2, DIM), np.float32), unit(np.eye(DIM)[:5])])
    columns = filled(vectors).now().columns
    found = moved.search(vectors, columns, unit(np.eye(DIM))[4], 1, ends=(True, False), live=None)
    assert found.rows[SIMILAR].tolist() == [[COUNT // 2 + 4]]
