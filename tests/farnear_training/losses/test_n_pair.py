import math

import pytest
import torch
from farnear_training.losses import NPairLoss
from farnear_training.losses.n_pair import _one_of_each_class
from pytorch_metric_learning.losses import NTXentLoss
from torch import Tensor


def test_it_equals_the_plain_loop_over_what_was_drawn(embeddings: Tensor, labels: Tensor) -> None:
    drawn, classes, _ = _one_of_each_class(labels, torch.Generator().manual_seed(4))
    losses = []
    for a in range(9):  # the tenth has no positive
        scores = [math.exp(float(embeddings[a] @ embeddings[other]) / 0.2) for other in drawn[a]]
        losses.append(-math.log(scores[int(classes[a])] / sum(scores)))
    found = NPairLoss(temperature=0.2)(embeddings, labels, torch.Generator().manual_seed(4))
    assert float(found) == pytest.approx(sum(losses) / 9, rel=1e-12)


def test_it_equals_the_library_on_what_was_drawn(embeddings: Tensor, labels: Tensor) -> None:
    drawn, classes, _ = _one_of_each_class(labels, torch.Generator().manual_seed(4))
    anchors = torch.arange(9)
    positives = drawn[anchors, classes[anchors]]
    negatives = [int(n) for a in anchors for n in drawn[a] if labels[n] != labels[a]]
    pairs = (anchors, positives, anchors.repeat_interleave(3), torch.tensor(negatives))
    expected = NTXentLoss(temperature=0.2)(embeddings, labels, pairs)
    torch.testing.assert_close(
        NPairLoss(temperature=0.2)(embeddings, labels, torch.Generator().manual_seed(4)), expected
    )


def test_each_anchor_draws_evenly_one_of_every_class_and_never_itself(labels: Tensor) -> None:
    counts = torch.zeros(10, 10)
    for seed in range(400):
        drawn, classes, sizes = _one_of_each_class(labels, torch.Generator().manual_seed(seed))
        assert torch.equal(labels[drawn], torch.arange(4).expand(10, 4))
        counts.scatter_add_(1, drawn, torch.ones(10, 4))
    assert torch.equal(classes, labels)
    assert sizes.tolist() == [3, 2, 4, 1]
    others = sizes[labels] - (labels[:, None] == labels[None, :]).int()
    expected = 400 / others.clamp(min=1)
    expected.fill_diagonal_(0)
    expected[9, 9] = 400  # alone in its class; it is no anchor
    assert ((counts - expected).abs() <= 60).all()  # six standard deviations
    assert counts.diagonal()[:9].sum() == 0
