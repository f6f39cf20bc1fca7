import math

import pytest
import torch
from farnear_training.losses import SupConLoss
from pytorch_metric_learning import losses as library
from torch import Tensor


def test_it_equals_the_plain_loop(embeddings: Tensor, labels: Tensor, generator: torch.Generator) -> None:
    losses = []
    for a in range(9):  # the tenth has no positive
        others = [i for i in range(10) if i != a]
        scores = {i: math.exp(float(embeddings[a] @ embeddings[i]) / 0.2) for i in others}
        positives = [p for p in others if labels[p] == labels[a]]
        losses.append(-sum(math.log(scores[p] / sum(scores.values())) for p in positives) / len(positives))
    found = SupConLoss(temperature=0.2)(embeddings, labels, generator)
    assert float(found) == pytest.approx(sum(losses) / 9, rel=1e-12)


def test_its_defaults_are_the_library(embeddings: Tensor, labels: Tensor, generator: torch.Generator) -> None:
    torch.testing.assert_close(SupConLoss()(embeddings, labels, generator), library.SupConLoss()(embeddings, labels))


def test_it_stays_finite_at_a_temperature_that_overflows_exp(
    embeddings: Tensor, labels: Tensor, generator: torch.Generator
) -> None:
    assert SupConLoss(temperature=1e-3)(embeddings.float(), labels, generator).isfinite()
