"""What every loss holds to."""

import dataclasses
from functools import partial

import pytest
import torch
from farnear_training.losses import LOSSES, Loss, MnPairLoss, TripletLoss
from torch import Tensor

EVERY: dict[str, Loss] = {name: kind() for name, kind in LOSSES.items()} | {
    "mn-pair capped": MnPairLoss(m=3, n=4),
    "triplet random": TripletLoss(mining="random", margin=0.5),
    "triplet hard": TripletLoss(mining="hard", margin=0.5),
}

every = pytest.mark.parametrize("loss", list(EVERY.values()), ids=list(EVERY))


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_each_is_listed_by_its_name() -> None:
    assert list(LOSSES) == ["mn-pair", "n-pair", "info-nce", "supcon", "triplet", "contrastive", "cosine"]
    for name, kind in LOSSES.items():
        assert kind.name == name


@every
def test_settings_are_frozen_and_plain(loss: Loss) -> None:
    for field, value in dataclasses.asdict(loss).items():
        assert value is None or isinstance(value, int | float | str)
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(loss, field, value)


@every
def test_gradients_equal_finite_differences(loss: Loss, embeddings: Tensor, labels: Tensor) -> None:
    def value(vectors: Tensor) -> Tensor:
        return loss(vectors, labels, seeded())

    assert torch.autograd.gradcheck(value, (embeddings.requires_grad_(),))


@pytest.mark.parametrize("name", [*sorted(EVERY.keys() - {"n-pair", "mn-pair capped", "triplet random"})])
def test_the_order_of_the_batch_and_the_names_of_classes_do_not_count(
    name: str, embeddings: Tensor, labels: Tensor
) -> None:
    loss = EVERY[name]  # one that draws nothing
    backwards = loss(embeddings.flip(0), 100 - labels.flip(0), seeded())
    torch.testing.assert_close(backwards, loss(embeddings, labels, seeded()))


@every
def test_a_scalar_that_leaves_its_input_alone(loss: Loss, embeddings: Tensor, labels: Tensor) -> None:
    before, names = embeddings.clone(), labels.clone()
    value = loss(embeddings, labels, seeded())
    assert value.shape == ()
    assert value.item() > 0
    assert torch.equal(embeddings, before)
    assert torch.equal(labels, names)


@every
def test_images_that_are_all_alike_have_finite_gradients(loss: Loss, labels: Tensor) -> None:
    vectors = torch.full((len(labels), 4), 0.5, requires_grad=True)
    loss(vectors, labels, seeded()).backward()  # type: ignore[no-untyped-call]  # Torch has not typed it
    assert vectors.grad is not None
    assert vectors.grad.isfinite().all()


@every
@pytest.mark.parametrize(
    "labels",
    [torch.tensor([5]), torch.zeros(4, dtype=torch.long), torch.arange(4)],
    ids=["one image", "no negatives", "no positives"],
)
def test_a_batch_without_contrast_is_finite(loss: Loss, embeddings: Tensor, labels: Tensor) -> None:
    vectors = embeddings[: len(labels)].clone().requires_grad_()
    value = loss(vectors, labels, seeded())
    value.backward()  # type: ignore[no-untyped-call]  # Torch has not typed it
    assert value.isfinite()
    assert vectors.grad is not None
    assert vectors.grad.isfinite().all()
    if len(labels) == 1:
        assert value.item() == 0


@every
def test_a_few_steps_part_the_classes(loss: Loss, labels: Tensor) -> None:
    pairs = labels[:9]
    free = torch.randn(9, 4, generator=seeded()).requires_grad_()
    optimizer = torch.optim.Adam([free], lr=0.05)
    for step in range(150):
        optimizer.zero_grad()
        value = loss(torch.nn.functional.normalize(free), pairs, torch.Generator().manual_seed(step))
        value.backward()  # type: ignore[no-untyped-call]  # Torch has not typed it
        optimizer.step()
    vectors = torch.nn.functional.normalize(free.detach())
    cosine, same = vectors @ vectors.T, pairs[:, None] == pairs[None, :]
    assert cosine[same].min() > cosine[~same].max()


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "cosine"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_that_is_not_positive_and_finite_is_refused(name: str, value: float) -> None:
    fields = LOSSES[name].__dataclass_fields__
    (field,) = fields.keys() & {"temperature", "margin"}
    with pytest.raises(ValueError, match=f"{field}: {value}; allowed is a finite number more than 0"):
        partial(LOSSES[name], **{field: value})()
