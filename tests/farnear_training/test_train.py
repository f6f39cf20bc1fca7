import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from farnear_training.data import Dataset
from farnear_training.losses import MnPairLoss
from farnear_training.metrics import retrieval
from farnear_training.models import MnPairCnn
from farnear_training.train import DivergedError, ResumeError, TrainSettings, train
from torch import Tensor

SETTINGS = TrainSettings(
    loss=MnPairLoss(m=2, n=2),
    image_size=16,
    embedding_dim=4,
    iterations=6,
    batch_size=16,
    learning_rate=1e-3,
    augmentation="flips-erasing",
    checkpoint_every=2,
)


def stop_in_step(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ends a run as Ctrl-C does, in the middle of a step."""
    loss, steps = MnPairLoss.__call__, itertools.count(1)

    def stopping(self: MnPairLoss, *arguments: Any) -> Tensor:
        if next(steps) == step:
            raise KeyboardInterrupt
        return loss(self, *arguments)

    monkeypatch.setattr(MnPairLoss, "__call__", stopping)


def weights(model: MnPairCnn) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def equal(left: MnPairCnn, right: MnPairCnn) -> bool:
    pairs = zip(weights(left).items(), weights(right).items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


def test_it_learns_what_pixels_do_not_tell(stripes: Dataset, tmp_path: Path) -> None:
    settings = replace(SETTINGS, iterations=40, augmentation="none")
    model = train(stripes, settings, checkpoints=tmp_path).model
    with torch.inference_mode():
        embeddings = model(torch.from_numpy(stripes.images)).embedding.numpy()
    pixels = stripes.images.reshape(len(stripes), -1).astype(np.float32)
    assert retrieval(embeddings, stripes.labels).map_at_r > 0.95
    assert retrieval(pixels, stripes.labels).map_at_r < 0.7


def test_a_run_is_a_function_of_its_settings(stripes: Dataset, tmp_path: Path) -> None:
    torch.manual_seed(1)
    first = train(stripes, SETTINGS, checkpoints=tmp_path / "1")
    torch.manual_seed(2)
    state = torch.get_rng_state()
    second = train(stripes, SETTINGS, checkpoints=tmp_path / "2")
    other = train(stripes, replace(SETTINGS, seed=1), checkpoints=tmp_path / "3")
    assert equal(first.model, second.model)
    assert not equal(first.model, other.model)
    assert torch.equal(torch.get_rng_state(), state)
    assert first.seconds_per_step > 0
    assert not first.model.training


def test_a_stopped_run_goes_on_bit_for_bit(stripes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    undisturbed = train(stripes, SETTINGS, checkpoints=tmp_path / "undisturbed")
    with monkeypatch.context() as patch:
        stop_in_step(4, patch)
        with pytest.raises(KeyboardInterrupt):
            train(stripes, SETTINGS, checkpoints=tmp_path / "stopped")
    (tmp_path / "stopped" / "step-00000004.tmp").write_bytes(b"half a file")
    files = sorted(path.name for path in (tmp_path / "stopped").iterdir())
    assert files == ["checkpoint.json", "step-00000002.safetensors", "step-00000004.tmp"]
    resumed = train(stripes, SETTINGS, checkpoints=tmp_path / "stopped", resume=True)
    assert equal(resumed.model, undisturbed.model)


def test_a_finished_run_can_be_given_more_iterations(stripes: Dataset, tmp_path: Path) -> None:
    undisturbed = train(stripes, SETTINGS, checkpoints=tmp_path / "undisturbed")
    train(stripes, replace(SETTINGS, iterations=3), checkpoints=tmp_path / "short")
    longer = train(stripes, SETTINGS, checkpoints=tmp_path / "short", resume=True)
    again = train(stripes, SETTINGS, checkpoints=tmp_path / "short", resume=True)
    assert equal(longer.model, undisturbed.model)
    assert equal(again.model, undisturbed.model)


def test_resume_without_a_checkpoint_starts(stripes: Dataset, tmp_path: Path) -> None:
    started = train(stripes, SETTINGS, checkpoints=tmp_path / "1", resume=True)
    assert equal(started.model, train(stripes, SETTINGS, checkpoints=tmp_path / "2").model)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 3}, "seed was 0, now 3"),
        ({"threads": 2}, "threads was 1, now 2"),
        ({"loss": MnPairLoss(m=3)}, "loss was"),
        ({"iterations": 1}, "is at step 2; allowed are at least as many iterations, not 1"),
    ],
)
def test_a_checkpoint_of_other_settings_is_refused(
    stripes: Dataset, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    train(stripes, replace(SETTINGS, iterations=2), checkpoints=tmp_path)
    with pytest.raises(ResumeError, match=message):
        train(stripes, replace(SETTINGS, **changes), checkpoints=tmp_path, resume=True)


def test_a_checkpoint_of_other_images_is_refused(stripes: Dataset, tmp_path: Path) -> None:
    train(stripes, replace(SETTINGS, iterations=2), checkpoints=tmp_path)
    images = stripes.images.copy()
    images[0, 0, 0, 0] ^= 1
    with pytest.raises(ResumeError, match="other training images"):
        train(replace(stripes, images=images), SETTINGS, checkpoints=tmp_path, resume=True)


@pytest.mark.parametrize("name", ["checkpoint.json", "step-00000002.safetensors"])
def test_a_damaged_checkpoint_is_refused(stripes: Dataset, tmp_path: Path, name: str) -> None:
    train(stripes, replace(SETTINGS, iterations=2), checkpoints=tmp_path)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(ResumeError, match="damaged"):
        train(stripes, SETTINGS, checkpoints=tmp_path, resume=True)


def test_a_loss_that_is_no_number_stops_the_run(stripes: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match=r"loss: nan at step \d; a lower learning rate than 1e\+30 helps"):
        train(stripes, replace(SETTINGS, learning_rate=1e30, checkpoint_every=1), checkpoints=tmp_path)
    assert (tmp_path / "checkpoint.json").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("iterations", 0),
        ("batch_size", 1),
        ("seed", -1),
        ("threads", 0),
        ("checkpoint_every", 0),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("sampler", "sorted"),
    ],
)
def test_settings_out_of_bounds_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"{name}: {value!r}"):
        replace(SETTINGS, **{name: value})
