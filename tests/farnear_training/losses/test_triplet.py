from collections import Counter
from itertools import permutations

import pytest
import torch
from farnear_training.losses import TripletLoss
from farnear_training.losses.pairs import distances, positives_and_negatives
from farnear_training.losses.triplet import MINING
from pytorch_metric_learning import losses as library
from pytorch_metric_learning.miners import BatchHardMiner
from torch import Tensor


def mined(mining: str, embeddings: Tensor, labels: Tensor, seed: int = 0) -> list[tuple[int, int, int]]:
    positive, negative = positives_and_negatives(labels)
    found = MINING[mining](distances(embeddings), positive, negative, torch.Generator().manual_seed(seed))
    return list(zip(*(places.tolist() for places in found), strict=True))


def positive_pairs(labels: Tensor) -> list[tuple[int, int]]:
    return [(a, p) for a, p in permutations(range(len(labels)), 2) if labels[a] == labels[p]]


def plain(triplets: list[tuple[int, int, int]], embeddings: Tensor, margin: float) -> float:
    """The mean of the triplets that violate the margin, one number at a time."""
    losses = []
    for a, p, n in triplets:
        pull, push = (float((embeddings[a] - embeddings[other]).norm()) for other in (p, n))
        losses.append(max(0.0, pull - push + margin))
    violating = [loss for loss in losses if loss > 0]
    return sum(violating) / len(violating)


@pytest.mark.parametrize("mining", list(MINING))
def test_it_equals_the_plain_loop_over_what_was_mined(
    mining: str, embeddings: Tensor, labels: Tensor, generator: torch.Generator
) -> None:
    expected = plain(mined(mining, embeddings, labels), embeddings, 0.3)
    found = TripletLoss(margin=0.3, mining=mining)(embeddings, labels, generator)
    assert float(found) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("mining", list(MINING))
def test_it_equals_the_library_on_what_was_mined(
    mining: str, embeddings: Tensor, labels: Tensor, generator: torch.Generator
) -> None:
    triplets = tuple(torch.tensor(places) for places in zip(*mined(mining, embeddings, labels), strict=True))
    expected = library.TripletMarginLoss()(embeddings, labels, triplets)
    torch.testing.assert_close(TripletLoss(mining=mining)(embeddings, labels, generator), expected)


def test_hard_mining_equals_the_library(embeddings: Tensor, labels: Tensor) -> None:
    expected = zip(*(places.tolist() for places in BatchHardMiner()(embeddings, labels)), strict=True)
    assert mined("hard", embeddings, labels) == sorted(expected)


def test_semi_hard_takes_the_nearest_negative_beyond_the_positive(embeddings: Tensor, labels: Tensor) -> None:
    expected = []
    for a, p in positive_pairs(labels):
        far = {n: float((embeddings[a] - embeddings[n]).norm()) for n in range(10) if labels[n] != labels[a]}
        pull = float((embeddings[a] - embeddings[p]).norm())
        beyond = [n for n in far if far[n] > pull]
        expected.append((a, p, min(beyond, key=far.__getitem__) if beyond else max(far, key=far.__getitem__)))
    assert mined("semi-hard", embeddings, labels) == expected


def test_random_draws_evenly_a_negative_for_each_positive_pair(embeddings: Tensor, labels: Tensor) -> None:
    drawn: Counter[tuple[int, int, int]] = Counter()
    for seed in range(300):
        triplets = mined("random", embeddings, labels, seed)
        assert [(a, p) for a, p, _ in triplets] == positive_pairs(labels)
        drawn.update(triplets)
    for a, p in positive_pairs(labels):
        counts = [drawn[a, p, n] for n in range(10) if labels[n] != labels[a]]
        assert sum(counts) == 300
        assert min(counts) > 150 / len(counts)


def test_an_unknown_mining_is_refused() -> None:
    with pytest.raises(ValueError, match="mining: 'soft'; allowed are random, semi-hard, hard"):
        TripletLoss(mining="soft")
