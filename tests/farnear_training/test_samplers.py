import numpy as np
import pytest
from farnear_training.samplers import SAMPLERS, BatchError, Sampler, class_balanced, m_per_class, uniform

LABELS = np.repeat([0, 1, 2, 3, 7], [60, 30, 9, 8, 9])

each = pytest.mark.parametrize("sampler", list(SAMPLERS.values()), ids=list(SAMPLERS))


@each
def test_a_batch_is_a_function_of_seed_and_step(sampler: Sampler) -> None:
    later, first = sampler(LABELS, 20, 3, 11), sampler(LABELS, 20, 3, 0)
    assert np.array_equal(sampler(LABELS, 20, 3, 11), later)
    assert not np.array_equal(sorted(later), sorted(first))
    assert not np.array_equal(sorted(sampler(LABELS, 20, 4, 11)), sorted(later))


@each
def test_no_image_is_twice_in_a_batch(sampler: Sampler) -> None:
    for step in range(20):
        batch = sampler(LABELS, 20, 0, step)
        assert len(set(batch.tolist())) == 20
        assert 0 <= batch.min() <= batch.max() < len(LABELS)


@each
def test_every_image_comes_up(sampler: Sampler) -> None:
    assert set(np.concatenate([sampler(LABELS, 20, 0, step) for step in range(200)])) == set(range(len(LABELS)))


def test_uniform_passes_over_every_image_once_an_epoch() -> None:
    labels = np.zeros(60, np.int64)
    for epoch in range(3):
        seen = np.concatenate([uniform(labels, 20, 0, 3 * epoch + batch) for batch in range(3)])
        assert sorted(seen) == list(range(60))


def test_uniform_leaves_out_other_images_in_every_epoch() -> None:
    labels = np.zeros(50, np.int64)
    seen = [set(np.concatenate([uniform(labels, 20, 0, 2 * e + b) for b in range(2)]).tolist()) for e in range(2)]
    assert [len(images) for images in seen] == [40, 40]
    assert seen[0] != seen[1]


def test_uniform_gives_all_where_they_are_fewer_than_a_batch() -> None:
    assert sorted(uniform(LABELS, 1000, 0, 5)) == list(range(len(LABELS)))


def test_class_balanced_shares_a_batch_among_the_classes() -> None:
    favoured = set()
    for step in range(30):
        counts = np.bincount(LABELS[class_balanced(LABELS, 23, 0, step)])[[0, 1, 2, 3, 7]]
        assert sorted(counts) == [4, 4, 5, 5, 5]
        favoured |= set(np.flatnonzero(counts == 5))
    assert favoured == set(range(5))


def test_class_balanced_goes_as_far_as_the_smallest_class() -> None:
    assert np.bincount(LABELS[class_balanced(LABELS, 40, 0, 0)]).tolist() == [8, 8, 8, 8, 0, 0, 0, 8]
    with pytest.raises(BatchError, match=r"batch_size: 41; .* at most 40, 8 images of the smallest class x 5 classes"):
        class_balanced(LABELS, 41, 0, 0)


def test_m_per_class_takes_m_of_some_classes() -> None:
    pairs = set()
    for step in range(60):
        classes, counts = np.unique(LABELS[m_per_class(LABELS, 6, 0, step, per_class=3)], return_counts=True)
        assert counts.tolist() == [3, 3]
        pairs.add(tuple(classes.tolist()))
    assert len(pairs) == 10  # of 5 classes


def test_a_class_of_fewer_than_m_gives_all_it_has() -> None:
    assert np.bincount(LABELS[m_per_class(LABELS, 60, 0, 0, per_class=12)]).tolist() == [12, 12, 9, 8, 0, 0, 0, 9]


@pytest.mark.parametrize("batch_size", [3, 10, 24])
def test_m_per_class_refuses_what_the_classes_do_not_fill(batch_size: int) -> None:
    with pytest.raises(
        BatchError, match=f"batch_size: {batch_size}; .* multiples of 4 up to 20, 4 images of 5 classes"
    ):
        m_per_class(LABELS, batch_size, 0, 0)
