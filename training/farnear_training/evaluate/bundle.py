"""A bundle as it stands on disk, checked against its own sums.

The format is in ARCHITECTURE.md, "The bundle". Nothing but `bundle.json` is opened before its SHA-256 was compared.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SCHEMA_VERSION = 1


class BundleError(ValueError):
    """The bundle is missing, damaged or of another kind; the message names the file and says what is wrong."""


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A checked bundle.

    Attributes:
        path: Its folder.
        name: What it is called.
        digest: The model's id.
        class_names: The classes it was trained on.
        history: How its training went, as `bundle.json` has it; None where it has none.
        group_regex: By which its training kept groups of images on one side; None where it did not.
        split: Item ids by part, `train` and `test`; both empty where the bundle does not tell.
        width: Of the images, in pixels.
        height: Of the images, in pixels.
        dim: Values in a vector.
    """

    path: Path
    name: str
    digest: str
    class_names: tuple[str, ...]
    history: object
    group_regex: str | None
    split: Mapping[str, frozenset[str]]
    width: int
    height: int
    dim: int


def load_bundle(path: Path) -> Bundle:
    """Reads and checks the bundle in the folder `path`; raises BundleError for a missing, damaged or foreign one."""
    try:
        description = json.loads((path / "bundle.json").read_bytes())
    except OSError as error:
        raise BundleError(f"bundle {path}: no readable bundle.json ({error.strerror})") from error
    except ValueError as error:
        raise BundleError(f"bundle {path}: bundle.json is not JSON ({error})") from error
    try:
        return _checked(path, description)
    except (KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"bundle {path}: bundle.json or split.json lacks or misshapes {error}") from error


def _checked(path: Path, description: Mapping[str, Any]) -> Bundle:
    image, embedding, files, training = (description[key] for key in ("image", "embedding", "files", "training"))
    for field, came, allowed in (
        ("schema_version", description["schema_version"], _SCHEMA_VERSION),
        ("image.colour", image["colour"], "RGB"),
        ("image.resize", image["resize"], "pillow-bilinear"),
        ("embedding.metric", embedding["metric"], "cosine"),
    ):
        if came != allowed:
            raise BundleError(f"bundle {path}: {field} is {came!r}; allowed is {allowed!r}")
    for field, size in (("width", image["width"]), ("height", image["height"]), ("dim", embedding["dim"])):
        if not isinstance(size, int) or size < 1:
            raise BundleError(f"bundle {path}: {field} is {size!r}; allowed is a positive whole number")
    if "model.onnx" not in files:
        raise BundleError(f"bundle {path}: bundle.json lists no model.onnx")
    if description["digest"] != _digest(description):
        raise BundleError(f"bundle {path}: bundle.json does not match its digest: it was changed or damaged")
    for name, expected in files.items():
        if Path(name).name != name:
            raise BundleError(f"bundle {path}: files has the unusable entry {name!r}")
        try:
            with (path / name).open("rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise BundleError(f"bundle {path}: {name} cannot be read ({error.strerror})") from error
        if found != expected:
            raise BundleError(f"bundle {path}: {name} does not match its SHA-256: it was changed or damaged")
    split = json.loads((path / "split.json").read_bytes()) if "split.json" in files else {"train": [], "test": []}
    return Bundle(
        path=path,
        name=str(description["name"]),
        digest=str(description["digest"]),
        class_names=tuple(map(str, description["class_names"])),
        history=training.get("history"),
        group_regex=training.get("group_regex"),
        split={part: frozenset(map(str, split[part])) for part in ("train", "test")},
        width=image["width"],
        height=image["height"],
        dim=embedding["dim"],
    )


def _digest(description: Mapping[str, Any]) -> str:
    content = {key: value for key, value in description.items() if key != "digest"}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
