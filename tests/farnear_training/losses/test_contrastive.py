from itertools import combinations

import pytest
import torch
from farnear_training.losses import ContrastiveLoss
from torch import Tensor


@pytest.mark.parametrize("margin", [0.6, 1.0, 1.9])
def test_it_equals_the_plain_loop(
    margin: float, embeddings: Tensor, labels: Tensor, generator: torch.Generator
) -> None:
    pulled, pushed = [], []
    for a, b in combinations(range(10), 2):
        distance = float((embeddings[a] - embeddings[b]).norm())
        if labels[a] == labels[b]:
            pulled.append(distance**2 / 2)
        elif distance < margin:
            pushed.append((margin - distance) ** 2 / 2)
    expected = sum(pulled) / len(pulled) + sum(pushed) / max(1, len(pushed))
    assert float(ContrastiveLoss(margin=margin)(embeddings, labels, generator)) == pytest.approx(expected, rel=1e-9)


def test_a_pair_by_eye(generator: torch.Generator) -> None:
    right_angle, loss = torch.eye(2), ContrastiveLoss(margin=2)
    assert loss(right_angle, torch.tensor([0, 0]), generator).item() == pytest.approx(1)  # d = sqrt 2
    assert loss(right_angle, torch.tensor([0, 1]), generator).item() == pytest.approx((2 - 2**0.5) ** 2 / 2)
