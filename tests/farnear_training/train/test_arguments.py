import argparse
from typing import Any

import pytest
from farnear_training import augment, losses, models, samplers
from farnear_training.losses import LOSSES, MnPairLoss, TripletLoss
from farnear_training.losses import triplet as triplet_module
from farnear_training.train import arguments
from farnear_training.train.settings import TrainSettings


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    arguments.add_arguments(parser)
    return parser.parse_args(["data", "--out", "b", *words])


@pytest.mark.parametrize(
    ("offered", "there"),
    [
        (arguments.LOSSES, losses.LOSSES),
        (arguments.MINING, triplet_module.MINING),
        (arguments.NETWORKS, models.NETWORKS),
        (arguments.SAMPLERS, samplers.SAMPLERS),
        (arguments.AUGMENTATIONS, augment.PRESETS),
    ],
)
def test_the_choices_offered_are_those_there_are(offered: tuple[str, ...], there: dict[str, Any]) -> None:
    assert list(offered) == list(there)


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_comes_with_its_own_defaults(name: str) -> None:
    loss = arguments.settings_of(parse("--loss", name), 5).loss
    assert loss == (MnPairLoss(m=5, n=5) if name == "mn-pair" else LOSSES[name]())


def test_every_option_of_a_loss_is_taken() -> None:
    mn_pair = parse("--loss", "mn-pair", "--temperature", "0.1", "--positive-weight", "0.4", "--m", "3", "--n", "all")
    expected = MnPairLoss(temperature=0.1, positive_weight=0.4, m=3, n=None)
    assert arguments.settings_of(mn_pair, 5).loss == expected
    triplet = parse("--margin", "0.2", "--mining", "hard")
    assert arguments.settings_of(triplet, 5).loss == TripletLoss(margin=0.2, mining="hard")


def test_an_option_that_the_loss_lacks_is_refused_with_those_it_has() -> None:
    with pytest.raises(ValueError, match="margin: supcon has none; it has temperature"):
        arguments.settings_of(parse("--loss", "supcon", "--margin", "1"), 5)


def test_the_defaults_are_those_of_the_settings() -> None:
    settings = arguments.settings_of(parse("--threads", "1"), 5)
    assert settings == TrainSettings(loss=TripletLoss())


def test_all_other_settings_are_taken() -> None:
    words = {
        "network": "strided-cnn",
        "image_size": 28,
        "embedding_dim": 32,
        "iterations": 7,
        "batch_size": 20,
        "learning_rate": 0.5,
        "sampler": "m-per-class",
        "images_per_class": 5,
        "augmentation": "simclr",
        "validate_every": 3,
        "patience": 2,
        "seed": 9,
        "threads": 4,
    }
    flat = [word for name, value in words.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    settings = arguments.settings_of(parse(*flat, "--freeze-backbone"), 5)
    assert settings == TrainSettings(loss=TripletLoss(), freeze_backbone=True, **words)  # type: ignore[arg-type]
    not_here = {"loss", "checkpoint_every"}
    assert TrainSettings.__dataclass_fields__.keys() - words.keys() - {"freeze_backbone"} == not_here
