import json
from dataclasses import replace
from typing import Any

import pytest
from farnear_training.losses import TripletLoss
from farnear_training.train.settings import TrainSettings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("iterations", 0),
        ("batch_size", 1),
        ("images_per_class", 1),
        ("validate_every", 0),
        ("patience", 0),
        ("seed", -1),
        ("threads", 0),
        ("checkpoint_every", 0),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("sampler", "sorted"),
        ("augmentation", "sepia"),
        ("patience", 2),
    ],
)
def test_settings_out_of_bounds_are_refused(quick: TrainSettings, name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name}: {value!r}; allowed"):
        replace(quick, **{name: value})


def test_a_run_too_short_to_validate_is_refused(quick: TrainSettings) -> None:
    assert replace(quick, iterations=5, validate_every=5).validate_every == 5
    with pytest.raises(ValueError, match="validate_every: 6; allowed is at most iterations, 5"):
        replace(quick, iterations=5, validate_every=6)


def test_images_per_class_belong_to_one_sampler(quick: TrainSettings) -> None:
    assert replace(quick, sampler="m-per-class", images_per_class=8).images_per_class == 8
    with pytest.raises(ValueError, match="images_per_class: uniform has none"):
        replace(quick, images_per_class=8)


def test_they_are_json_with_the_name_of_the_loss(quick: TrainSettings) -> None:
    told = replace(quick, loss=TripletLoss(margin=0.2, mining="hard")).to_json()
    assert json.loads(json.dumps(told)) == told
    assert told["loss"] == {"name": "triplet", "margin": 0.2, "mining": "hard"}
    assert told["network"] == "mn-pair-cnn"


def test_all_but_the_length_of_a_run_is_its_origin(quick: TrainSettings) -> None:
    assert quick.to_json().keys() - quick.origin().keys() == {"iterations", "checkpoint_every"}
