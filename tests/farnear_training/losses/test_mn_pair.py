import itertools
import math
from typing import Any

import pytest
import torch
from farnear_training.losses import MnPairLoss
from torch import Tensor
from torch.nn import functional

LABELS = torch.tensor([0, 0, 0, 1, 1, 2, 2, 2, 2, 3])  # 3 has no positive


def unit_vectors(count: int, *, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return functional.normalize(torch.randn(count, 4, generator=torch.Generator().manual_seed(seed), dtype=dtype))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def anchor_loss(similarities: dict[str, list[float]], temperature: float, v: float) -> float:
    positive = sum(math.exp(s / temperature) for s in similarities["positive"])
    negative = sum(math.exp(s / temperature) for s in similarities["negative"])
    return -math.log(v * positive / (v * positive + (1 - v) * negative))


def plain(embeddings: Tensor, labels: Tensor, temperature: float, v: float) -> float:
    """Equation 5 over the whole batch, one number at a time."""
    losses = []
    for a in range(len(labels)):
        similarities: dict[str, list[float]] = {"positive": [], "negative": []}
        for other in range(len(labels)):
            if other != a:
                side = "positive" if labels[other] == labels[a] else "negative"
                similarities[side].append(float(embeddings[a] @ embeddings[other]))
        if similarities["positive"]:
            losses.append(anchor_loss(similarities, temperature, v))
    return sum(losses) / len(losses)


@pytest.mark.parametrize(("temperature", "v"), [(0.3, 0.15), (0.1, 0.5), (2.0, 0.9)])
def test_it_equals_the_plain_loop(temperature: float, v: float) -> None:
    embeddings = unit_vectors(len(LABELS))
    found = MnPairLoss(temperature=temperature, positive_weight=v)(embeddings, LABELS, generator())
    assert float(found) == pytest.approx(plain(embeddings, LABELS, temperature, v), rel=1e-12)


def test_gradients_equal_finite_differences() -> None:
    embeddings = unit_vectors(len(LABELS)).requires_grad_()
    assert torch.autograd.gradcheck(lambda e: MnPairLoss(m=3, n=4)(e, LABELS, generator()), (embeddings,))


def test_caps_beyond_the_batch_take_all_of_it() -> None:
    embeddings = unit_vectors(len(LABELS))
    capped = MnPairLoss(m=1000, n=len(LABELS))(embeddings, LABELS, generator())
    assert torch.equal(capped, MnPairLoss()(embeddings, LABELS, generator()))


def test_caps_draw_that_many_evenly() -> None:
    labels = torch.tensor([0, 0, 1, 1])
    embeddings = unit_vectors(4)
    cosine = (embeddings @ embeddings.T).tolist()
    choices = [
        [anchor_loss({"positive": [cosine[a][a ^ 1]], "negative": [cosine[a][n]]}, 0.3, 0.15) for n in negatives]
        for a, negatives in enumerate([(2, 3), (2, 3), (0, 1), (0, 1)])
    ]
    possible = sorted(sum(losses) / 4 for losses in itertools.product(*choices))
    loss = MnPairLoss(m=2, n=2)
    found = [float(loss(embeddings, labels, generator(seed))) for seed in range(800)]
    counts = [sum(math.isclose(value, one, rel_tol=1e-9) for value in found) for one in possible]
    assert sum(counts) == 800
    assert min(counts) > 25  # 50 expected of each of the 16


def test_the_same_generator_draws_the_same_pairs() -> None:
    embeddings, loss = unit_vectors(len(LABELS)), MnPairLoss(m=2, n=2)
    assert torch.equal(loss(embeddings, LABELS, generator(5)), loss(embeddings, LABELS, generator(5)))
    assert not torch.equal(loss(embeddings, LABELS, generator(5)), loss(embeddings, LABELS, generator(6)))


def test_two_and_no_weights_is_the_n_pair_loss() -> None:
    labels = torch.arange(6).repeat_interleave(2)
    embeddings = unit_vectors(12)
    scores = embeddings @ embeddings.T / 0.3
    itself = torch.eye(12, dtype=torch.bool)
    expected = functional.cross_entropy(scores.masked_fill(itself, -torch.inf), torch.arange(12) ^ 1)
    found = MnPairLoss(positive_weight=0.5, m=2)
    # Every negative counts here, and in cross entropy too: each label has but one pair, so M = 2 takes all positives.
    torch.testing.assert_close(found(embeddings, labels, generator()), expected)


def test_it_stays_finite_at_a_temperature_that_overflows_exp() -> None:
    embeddings = unit_vectors(len(LABELS), dtype=torch.float32).requires_grad_()
    loss = MnPairLoss(temperature=1e-3)(embeddings, LABELS, generator())
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.isfinite()
    assert embeddings.grad is not None
    assert embeddings.grad.isfinite().all()


@pytest.mark.parametrize("labels", [torch.zeros(4), torch.arange(4)], ids=["no negatives", "no positives"])
@pytest.mark.parametrize("cap", [None, 3])
def test_a_batch_without_contrast_teaches_nothing(labels: Tensor, cap: int | None) -> None:
    embeddings = unit_vectors(4).requires_grad_()
    loss = MnPairLoss(m=cap, n=cap)(embeddings, labels, generator())
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0
    assert embeddings.grad is not None
    assert embeddings.grad.abs().max() == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.0}, "temperature: 0.0"),
        ({"temperature": math.nan}, "temperature: nan"),
        ({"positive_weight": 0.0}, "positive_weight: 0.0"),
        ({"positive_weight": 1.0}, "positive_weight: 1.0"),
        ({"m": 1}, "m: 1"),
        ({"n": 0}, "n: 0"),
    ],
)
def test_settings_out_of_bounds_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MnPairLoss(**settings)
