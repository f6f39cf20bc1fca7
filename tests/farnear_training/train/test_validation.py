import numpy as np
import pytest
import torch
from farnear_training.data import Dataset
from farnear_training.metrics import retrieval
from farnear_training.models import build
from farnear_training.train.validation import Validation, best_of, out_of_patience, validate


def history(*scores: float) -> list[Validation]:
    return [
        Validation(step=10 * number, precision_at_1=0, r_precision=0, map_at_r=score)
        for number, score in enumerate(scores, 1)
    ]


def test_it_is_the_retrieval_of_the_network_in_eval_mode(stripes: Dataset) -> None:
    model = build("strided-cnn", image_size=16, embedding_dim=4).eval()
    with torch.inference_mode():
        expected = retrieval(model(torch.from_numpy(stripes.images)).embedding.numpy(), stripes.labels)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    found = validate(model.train(), stripes, 7)
    assert found.step == 7
    assert (found.precision_at_1, found.r_precision) == (expected.precision_at_1, expected.r_precision)
    assert found.map_at_r == pytest.approx(expected.map_at_r)
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_more_images_than_a_batch(stripes: Dataset) -> None:
    many = stripes.subset(np.tile(np.arange(len(stripes)), 3))
    model = build("mn-pair-cnn", image_size=16, embedding_dim=4).eval()
    with torch.inference_mode():
        expected = retrieval(model(torch.from_numpy(many.images)).embedding.numpy(), many.labels)
    assert validate(model, many, 1).precision_at_1 == pytest.approx(expected.precision_at_1, abs=0.03)


def test_the_best_is_the_first_of_the_highest() -> None:
    assert best_of([]) is None
    best = best_of(history(0.1, 0.3, 0.3, 0.2))
    assert best is not None
    assert best.step == 20


@pytest.mark.parametrize(
    ("scores", "patience", "ends"),
    [
        ((), 1, False),
        ((0.5,), 1, False),
        ((0.5, 0.5), 1, True),
        ((0.5, 0.6), 1, False),
        ((0.5, 0.4, 0.45), 2, True),
        ((0.5, 0.4, 0.6, 0.5), 2, False),
        ((0.5, 0.4, 0.3, 0.2), None, False),
    ],
)
def test_patience_counts_the_validations_since_the_best(
    scores: tuple[float, ...], patience: int | None, ends: bool
) -> None:
    assert out_of_patience(history(*scores), patience) == ends
