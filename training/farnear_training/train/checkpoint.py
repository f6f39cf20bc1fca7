"""A run's state on disk: at any moment one whole checkpoint stands.

The folder holds `step-N.safetensors` with the tensors and `checkpoint.json`, which names that file and tells of which
settings and images the run is. The tensors are written first, so a run killed in between leaves the checkpoint before.
"""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from farnear_training.data import Dataset
from farnear_training.train.validation import Validation

DESCRIPTION = "checkpoint.json"
FORMAT = 2
"""In 1 the weights of mn-pair-cnn are for zeros beyond the border."""


class ResumeError(ValueError):
    """The checkpoint cannot be continued; the message says what does not fit."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A run after `step` steps: its validations so far, the loss of every step, and its tensors by name."""

    step: int
    history: tuple[Validation, ...]
    losses: tuple[float, ...]
    tensors: dict[str, Tensor]


def origin(settings: dict[str, Any], learned: Dataset, validation: Dataset | None) -> dict[str, Any]:
    """What a checkpoint must be of so that a run may go on from it: as JSON, the images by their SHA-256."""
    return {
        "settings": settings,
        "images": _fingerprint(learned),
        "validation_images": validation and _fingerprint(validation),
    }


def save(folder: Path, checkpoint: Checkpoint, origin: dict[str, Any]) -> None:
    """Writes the checkpoint, then removes the one before; raises OSError where that one stands, as on a full disk."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = folder / f"step-{checkpoint.step:08d}.safetensors"
    unfinished = tensors.with_suffix(".tmp")
    content = {name: tensor.contiguous() for name, tensor in checkpoint.tensors.items()}
    content["losses"] = torch.tensor(checkpoint.losses, dtype=torch.float64)
    try:
        safetensors.torch.save_file(content, unfinished)
    except safetensors.SafetensorError as error:
        raise OSError(f"{folder}: the checkpoint of step {checkpoint.step} cannot be written ({error})") from error
    _put(unfinished, tensors)
    unfinished = folder / "checkpoint.tmp"
    history = [asdict(validation) for validation in checkpoint.history]
    unfinished.write_text(
        json.dumps({"format": FORMAT, **origin, "step": checkpoint.step, "history": history, "tensors": tensors.name}),
        "utf-8",
    )
    _put(unfinished, folder / DESCRIPTION)
    for other in folder.glob("step-*"):
        if other != tensors:
            other.unlink()


def load(folder: Path, origin: dict[str, Any]) -> Checkpoint | None:
    """The checkpoint in `folder`, its tensors on the CPU; None where there is none.

    Raises ResumeError where it is damaged, of another version of Farnear, or of another origin.
    """
    if not (folder / DESCRIPTION).exists():
        return None
    try:
        description = json.loads((folder / DESCRIPTION).read_text("utf-8"))
        version = description.get("format")
        if version != FORMAT or description["settings"].keys() != origin["settings"].keys():
            raise ResumeError(
                f"{folder}: was written by another version of Farnear (format {version}, here {FORMAT}); delete it to"
                " start anew, or go on with that version"
            )
        for field, now in origin["settings"].items():
            before = description["settings"][field]
            if before != now:
                raise ResumeError(f"{folder}: {field} was {before}, now {now}; allowed is the same")
        if any(description[part] != origin[part] for part in ("images", "validation_images")):
            raise ResumeError(f"{folder}: is of other training images; allowed is the same data, split and image size")
        tensors = safetensors.torch.load_file(folder / description["tensors"])
        return Checkpoint(
            step=int(description["step"]),
            history=tuple(Validation(**row) for row in description["history"]),
            losses=tuple(tensors.pop("losses").tolist()),
            tensors=tensors,
        )
    except (
        OSError,
        AttributeError,  # with KeyError and TypeError: JSON of another shape
        KeyError,
        TypeError,
        UnicodeDecodeError,
        safetensors.SafetensorError,
        json.JSONDecodeError,
    ) as error:
        raise ResumeError(f"{folder}: is damaged ({error}); allowed is a checkpoint as it was written") from error


def _fingerprint(dataset: Dataset) -> str:
    digest = hashlib.sha256(json.dumps([dataset.item_ids, dataset.class_names, dataset.images.shape]).encode())
    digest.update(dataset.labels.tobytes())
    digest.update(np.ascontiguousarray(dataset.images).data)
    return digest.hexdigest()


def _put(unfinished: Path, target: Path) -> None:
    """Gives a written file its name once it is on disk."""
    with unfinished.open("rb") as stream:
        os.fsync(stream.fileno())
    unfinished.replace(target)
