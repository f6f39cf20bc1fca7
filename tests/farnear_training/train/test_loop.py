import itertools
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from farnear_training.data import Dataset
from farnear_training.losses import LOSSES, MnPairLoss
from farnear_training.metrics import retrieval
from farnear_training.models import Network
from farnear_training.samplers import BatchError
from farnear_training.train.checkpoint import ResumeError
from farnear_training.train.loop import DivergedError, Trained, train
from farnear_training.train.settings import TrainSettings
from torch import Tensor


def stop_in_step(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ends a run as Ctrl-C does, in the middle of a step."""
    loss, steps = MnPairLoss.__call__, itertools.count(1)

    def stopping(self: MnPairLoss, *arguments: Any) -> Tensor:
        if next(steps) == step:
            raise KeyboardInterrupt
        return loss(self, *arguments)

    monkeypatch.setattr(MnPairLoss, "__call__", stopping)


def equal(left: Network, right: Network) -> bool:
    pairs = zip(left.state_dict().items(), right.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


@pytest.fixture
def learned(stripes: Dataset) -> Dataset:
    return stripes.subset(np.flatnonzero(np.arange(len(stripes)) % 3 > 0))


@pytest.fixture
def validation(stripes: Dataset) -> Dataset:
    return stripes.subset(np.flatnonzero(np.arange(len(stripes)) % 3 == 0))


@pytest.mark.parametrize("loss", list(LOSSES.values()), ids=list(LOSSES))
def test_every_loss_learns_what_pixels_do_not_tell(
    loss: Callable[[], Any], stripes: Dataset, quick: TrainSettings, tmp_path: Path
) -> None:
    settings = replace(quick, loss=loss(), iterations=60, augmentation="none")
    model = train(stripes, settings, checkpoints=tmp_path).model
    with torch.inference_mode():
        embeddings = model(torch.from_numpy(stripes.images)).embedding.numpy()
    pixels = stripes.images.reshape(len(stripes), -1).astype(np.float32)
    assert retrieval(embeddings, stripes.labels).map_at_r > 0.95
    assert retrieval(pixels, stripes.labels).map_at_r < 0.7


@pytest.mark.parametrize("sampler", ["uniform", "class-balanced", "m-per-class"])
def test_a_run_is_a_function_of_its_settings(
    sampler: str, stripes: Dataset, quick: TrainSettings, tmp_path: Path
) -> None:
    settings = replace(quick, sampler=sampler, images_per_class=8 if sampler == "m-per-class" else None)
    torch.manual_seed(1)
    first = train(stripes, settings, checkpoints=tmp_path / "1")
    torch.manual_seed(2)
    state = torch.get_rng_state()
    second = train(stripes, settings, checkpoints=tmp_path / "2")
    other = train(stripes, replace(settings, seed=1), checkpoints=tmp_path / "3")
    assert equal(first.model, second.model)
    assert not equal(first.model, other.model)
    assert torch.equal(torch.get_rng_state(), state)
    assert first.seconds_per_step > 0
    assert first.step == first.steps == 6
    assert first.history == ()
    assert not first.model.training


def test_validating_leaves_the_weights_as_they_would_be(
    learned: Dataset, validation: Dataset, quick: TrainSettings, tmp_path: Path
) -> None:
    settings = replace(quick, network="strided-cnn")
    without = train(learned, settings, checkpoints=tmp_path / "1")
    validated = train(learned, replace(settings, validate_every=2), checkpoints=tmp_path / "2", validation=validation)
    assert equal(without.model, validated.model)
    assert [found.step for found in validated.history] == [2, 4, 6]
    with torch.inference_mode():
        embeddings = validated.model(torch.from_numpy(validation.images)).embedding.numpy()
    assert validated.history[-1].map_at_r == pytest.approx(retrieval(embeddings, validation.labels).map_at_r)


def test_a_watcher_hears_of_every_step_and_validation(
    learned: Dataset, validation: Dataset, quick: TrainSettings, tmp_path: Path
) -> None:
    heard: list[tuple[int, Mapping[str, float]]] = []
    trained = train(
        learned,
        replace(quick, validate_every=4),
        checkpoints=tmp_path,
        validation=validation,
        watch=lambda step, values: heard.append((step, values)),
    )
    losses = [(step, values["loss"]) for step, values in heard if "loss" in values]
    assert losses == list(enumerate(trained.losses, 1))
    assert len(losses) == 6
    assert [{"step": step, **values} for step, values in heard if "loss" not in values] == [asdict(trained.history[0])]


def early(settings: TrainSettings) -> TrainSettings:
    """Settings under which MAP@R stops to rise long before the last step."""
    return replace(settings, network="strided-cnn", iterations=40, validate_every=1, patience=2, checkpoint_every=3)


def test_patience_ends_a_run_with_its_best_weights(
    learned: Dataset, validation: Dataset, quick: TrainSettings, tmp_path: Path
) -> None:
    settings = early(quick)
    trained = train(learned, settings, checkpoints=tmp_path / "1", validation=validation)
    scores = [found.map_at_r for found in trained.history]
    assert trained.steps == len(scores) < settings.iterations
    assert trained.step == 1 + int(np.argmax(scores)) == trained.steps - 2
    shorter = replace(settings, iterations=trained.step, validate_every=None, patience=None)
    assert equal(trained.model, train(learned, shorter, checkpoints=tmp_path / "2").model)


@pytest.mark.parametrize("step", range(1, 7))
@pytest.mark.parametrize("network", ["mn-pair-cnn", "strided-cnn"])
def test_a_run_stopped_in_any_step_goes_on_bit_for_bit(
    step: int,
    network: str,
    learned: Dataset,
    validation: Dataset,
    quick: TrainSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = replace(quick, network=network, validate_every=1, patience=6)

    def run(name: str, *, resume: bool = False) -> Trained:
        return train(learned, settings, checkpoints=tmp_path / name, resume=resume, validation=validation)

    undisturbed = run("undisturbed")
    with monkeypatch.context() as patch:
        stop_in_step(step, patch)
        with pytest.raises(KeyboardInterrupt):
            run("stopped")
    resumed = run("stopped", resume=True)
    assert equal(resumed.model, undisturbed.model)
    assert (resumed.step, resumed.steps, resumed.history, resumed.losses) == (
        undisturbed.step,
        undisturbed.steps,
        undisturbed.history,
        undisturbed.losses,
    )


def test_a_run_stopped_on_its_way_to_an_early_end_ends_there_too(
    learned: Dataset, validation: Dataset, quick: TrainSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = early(quick)
    undisturbed = train(learned, settings, checkpoints=tmp_path / "undisturbed", validation=validation)
    for step in range(1, undisturbed.steps + 1):
        folder = tmp_path / str(step)
        with monkeypatch.context() as patch:
            stop_in_step(step, patch)
            with pytest.raises(KeyboardInterrupt):
                train(learned, settings, checkpoints=folder, validation=validation)
        for _ in range(2):  # and once more, from the checkpoint of the end
            resumed = train(learned, settings, checkpoints=folder, resume=True, validation=validation)
            assert equal(resumed.model, undisturbed.model)
            assert (resumed.step, resumed.history) == (undisturbed.step, undisturbed.history)


def test_a_finished_run_can_be_given_more_iterations(stripes: Dataset, quick: TrainSettings, tmp_path: Path) -> None:
    undisturbed = train(stripes, quick, checkpoints=tmp_path / "undisturbed")
    train(stripes, replace(quick, iterations=3), checkpoints=tmp_path / "short")
    longer = train(stripes, quick, checkpoints=tmp_path / "short", resume=True)
    again = train(stripes, quick, checkpoints=tmp_path / "short", resume=True)
    assert equal(longer.model, undisturbed.model)
    assert equal(again.model, undisturbed.model)


def test_resume_without_a_checkpoint_starts(stripes: Dataset, quick: TrainSettings, tmp_path: Path) -> None:
    started = train(stripes, quick, checkpoints=tmp_path / "1", resume=True)
    assert equal(started.model, train(stripes, quick, checkpoints=tmp_path / "2").model)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 3}, "seed was 0, now 3"),
        ({"threads": 2}, "threads was 1, now 2"),
        ({"loss": MnPairLoss(m=3)}, "loss was"),
        ({"network": "strided-cnn"}, "network was mn-pair-cnn, now strided-cnn"),
        ({"iterations": 1}, "is at step 2; allowed are at least as many iterations, not 1"),
    ],
)
def test_a_checkpoint_of_other_settings_is_refused(
    stripes: Dataset, quick: TrainSettings, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    train(stripes, replace(quick, iterations=2), checkpoints=tmp_path)
    with pytest.raises(ResumeError, match=message):
        train(stripes, replace(quick, **changes), checkpoints=tmp_path, resume=True)


def test_a_checkpoint_of_other_images_is_refused(
    learned: Dataset, validation: Dataset, quick: TrainSettings, tmp_path: Path
) -> None:
    settings = replace(quick, validate_every=2)
    train(learned, replace(settings, iterations=2), checkpoints=tmp_path, validation=validation)
    for part in ("learned", "validation"):
        parts = {"learned": learned, "validation": validation}
        images = parts[part].images.copy()
        images[0, 0, 0, 0] ^= 1
        parts[part] = replace(parts[part], images=images)
        with pytest.raises(ResumeError, match="other training images"):
            train(parts["learned"], settings, checkpoints=tmp_path, resume=True, validation=parts["validation"])


def test_a_loss_that_is_no_number_stops_the_run(stripes: Dataset, quick: TrainSettings, tmp_path: Path) -> None:
    settings = replace(quick, learning_rate=1e30)
    with pytest.raises(DivergedError, match=r"loss: nan at step \d; no checkpoint was written yet; a lower learning"):
        train(stripes, replace(settings, checkpoint_every=10), checkpoints=tmp_path / "none")
    with pytest.raises(DivergedError, match=r"the checkpoint of step \d in .* stands; a lower .* than 1e\+30 helps"):
        train(stripes, replace(settings, checkpoint_every=1), checkpoints=tmp_path / "one")
    with pytest.raises(DivergedError, match=r"loss: nan at step 1; no .* yet; MnPairLoss\(temperature=1e-46.* be used"):
        train(stripes, replace(quick, loss=MnPairLoss(temperature=1e-46)), checkpoints=tmp_path / "none")
    assert not (tmp_path / "none").exists()
    assert (tmp_path / "one" / "checkpoint.json").exists()


def test_weights_that_are_no_numbers_never_take_the_place_of_a_checkpoint(
    stripes: Dataset, quick: TrainSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(stripes, replace(quick, iterations=2), checkpoints=tmp_path)
    good = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    step = torch.optim.Adam.step

    def spoiling(self: torch.optim.Adam) -> None:
        step(self)
        self.param_groups[0]["params"][0].data[0] = torch.nan

    monkeypatch.setattr(torch.optim.Adam, "step", spoiling)
    with pytest.raises(DivergedError, match=r"weights: not finite after step 3; the checkpoint of step 2 in .* stands"):
        train(stripes, replace(quick, checkpoint_every=1), checkpoints=tmp_path, resume=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == good


def test_validating_needs_images(stripes: Dataset, quick: TrainSettings, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="validate_every: 2; needed are validation images"):
        train(stripes, replace(quick, validate_every=2), checkpoints=tmp_path)


def test_a_batch_that_the_sampler_cannot_draw_is_refused(
    stripes: Dataset, quick: TrainSettings, tmp_path: Path
) -> None:
    with pytest.raises(BatchError, match=r"batch_size: 49; .* at most 48"):
        train(stripes, replace(quick, sampler="class-balanced", batch_size=49), checkpoints=tmp_path)
