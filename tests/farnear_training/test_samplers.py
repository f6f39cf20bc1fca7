import numpy as np
import pytest
from farnear_training.samplers import SAMPLERS, Sampler, balanced, uniform

LABELS = np.repeat([0, 1, 2], [60, 30, 5])

both = pytest.mark.parametrize("sampler", list(SAMPLERS.values()), ids=list(SAMPLERS))


@both
def test_a_batch_is_a_function_of_seed_and_step(sampler: Sampler) -> None:
    later, first = sampler(LABELS, 20, 3, 11), sampler(LABELS, 20, 3, 0)
    assert np.array_equal(sampler(LABELS, 20, 3, 11), later)
    assert not np.array_equal(sorted(later), sorted(first))
    assert not np.array_equal(sorted(sampler(LABELS, 20, 4, 11)), sorted(later))


@both
def test_no_image_is_twice_in_a_batch(sampler: Sampler) -> None:
    for step in range(20):
        batch = sampler(LABELS, 20, 0, step)
        assert len(set(batch.tolist())) == 20
        assert 0 <= batch.min() <= batch.max() < len(LABELS)


@both
def test_a_batch_larger_than_the_set_is_the_set(sampler: Sampler) -> None:
    assert sorted(sampler(LABELS, 1000, 0, 5)) == list(range(len(LABELS)))


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


def test_balanced_shares_a_batch_among_the_classes() -> None:
    for step in range(10):
        counts = np.bincount(LABELS[balanced(LABELS, 30, 0, step)])
        assert counts[2] == 5  # all there are; the others share the rest
        assert sorted(counts[:2]) == [12, 13]


def test_balanced_reaches_every_image() -> None:
    assert set(np.concatenate([balanced(LABELS, 15, 0, step) for step in range(100)])) == set(range(len(LABELS)))
