import pytest
import torch
from farnear_training.losses import CosineLoss
from torch import Tensor
from torch.nn import functional


@pytest.mark.parametrize("margin", [-0.5, 0.0, 0.4])
def test_it_equals_torch_over_all_pairs(
    margin: float, embeddings: Tensor, labels: Tensor, generator: torch.Generator
) -> None:
    first, second = torch.combinations(torch.arange(10)).unbind(1)
    sides = torch.where(labels[first] == labels[second], 1, -1)
    expected = functional.cosine_embedding_loss(embeddings[first], embeddings[second], sides, margin=margin)
    torch.testing.assert_close(CosineLoss(margin=margin)(embeddings, labels, generator), expected)


def test_pairs_by_eye(generator: torch.Generator) -> None:
    opposite = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    assert CosineLoss()(opposite, torch.tensor([0, 0]), generator).item() == 2
    assert CosineLoss()(opposite, torch.tensor([0, 1]), generator).item() == 0
    assert CosineLoss(margin=-1.0)(torch.eye(2), torch.tensor([0, 1]), generator).item() == 1


@pytest.mark.parametrize("margin", [-1.1, 2.0, float("nan")])
def test_a_margin_that_no_cosine_has_is_refused(margin: float) -> None:
    with pytest.raises(ValueError, match=f"margin: {margin}; allowed is -1 to 1"):
        CosineLoss(margin=margin)
