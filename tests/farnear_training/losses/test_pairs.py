import torch
from farnear_training.losses.pairs import distances, mean_over, positives_and_negatives
from torch import Tensor


def test_masks_part_all_pairs_of_different_images() -> None:
    positive, negative = positives_and_negatives(torch.tensor([7, 7, 3]))
    assert positive.int().tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 0]]
    assert negative.int().tolist() == [[0, 0, 1], [0, 0, 1], [1, 1, 0]]


def test_distances_are_those_of_torch(embeddings: Tensor) -> None:
    expected = torch.cdist(embeddings, embeddings, compute_mode="donot_use_mm_for_euclid_dist")
    torch.testing.assert_close(distances(embeddings), expected, atol=1e-6, rtol=1e-9)


def test_a_mean_over_nothing_is_zero_and_has_a_gradient() -> None:
    losses = torch.tensor([1.0, 3.0, 8.0], requires_grad=True)
    assert mean_over(losses, torch.tensor([True, True, False])).item() == 2
    nothing = mean_over(losses, torch.zeros(3, dtype=torch.bool))
    nothing.backward()  # type: ignore[no-untyped-call]  # Torch has not typed it
    assert nothing.item() == 0
    assert losses.grad is not None
    assert losses.grad.tolist() == [0, 0, 0]
