import math

import pytest
import torch
from farnear_training.losses import InfoNceLoss
from pytorch_metric_learning.losses import NTXentLoss
from torch import Tensor


def test_it_equals_the_plain_loop(embeddings: Tensor, labels: Tensor, generator: torch.Generator) -> None:
    losses = []
    for a in range(10):
        scores = [math.exp(float(embeddings[a] @ other) / 0.2) for other in embeddings]
        negatives = sum(scores[n] for n in range(10) if labels[n] != labels[a])
        positives = [scores[p] for p in range(10) if labels[p] == labels[a] and p != a]
        losses += [-math.log(positive / (positive + negatives)) for positive in positives]
    found = InfoNceLoss(temperature=0.2)(embeddings, labels, generator)
    assert float(found) == pytest.approx(sum(losses) / len(losses), rel=1e-12)


def test_its_defaults_are_the_library(embeddings: Tensor, labels: Tensor, generator: torch.Generator) -> None:
    torch.testing.assert_close(InfoNceLoss()(embeddings, labels, generator), NTXentLoss()(embeddings, labels))


def test_it_stays_finite_at_a_temperature_that_overflows_exp(
    embeddings: Tensor, labels: Tensor, generator: torch.Generator
) -> None:
    assert InfoNceLoss(temperature=1e-3)(embeddings.float(), labels, generator).isfinite()
