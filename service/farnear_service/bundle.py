"""A model bundle: read, checked against its own sums, and copied where the service keeps it.

The format is in ARCHITECTURE.md, "The bundle". Nothing but `bundle.json` is opened before its SHA-256 was compared.
"""

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from farnear_service.errors import BundleError

SCHEMA_VERSION = 1
RESIZE_RULE = "pillow-bilinear"

_SUM = re.compile(r"[0-9a-f]{64}")
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A checked bundle.

    `digest` is the model's id; images are `width` x `height` pixels, vectors have `dim` values. Where `closed_form`
    holds, the graph gives heat maps too; where `pair_heatmaps` holds, those of pairs.
    """

    path: Path
    name: str
    digest: str
    width: int
    height: int
    dim: int
    closed_form: bool
    pair_heatmaps: bool
    files: frozenset[str]

    @property
    def model(self) -> Path:
        """The ONNX graph from images to embeddings, and to heat maps where `closed_form` holds."""
        return self.path / "model.onnx"

    @property
    def torch_program(self) -> Path | None:
        """The Torch program for Grad-CAM, or None where the bundle has none."""
        return self.path / "explain.pt2" if "explain.pt2" in self.files else None


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
        raise BundleError(f"bundle {path}: bundle.json lacks or misshapes {error}") from error


def adopt_bundle(source: Path, bundles_dir: Path) -> Bundle:
    """Copies the bundle at `source` to `bundles_dir`/<digest>, so that it outlives its source, and loads the copy."""
    bundle = load_bundle(source)
    target = bundles_dir / bundle.digest
    if target.exists():
        return load_bundle(target)
    bundles_dir.mkdir(parents=True, exist_ok=True)
    _sync(bundles_dir.parent)
    with tempfile.TemporaryDirectory(dir=bundles_dir, prefix=".incoming-") as staging:
        copy = Path(staging) / bundle.digest
        copy.mkdir()
        for name in ("bundle.json", *sorted(bundle.files)):
            shutil.copyfile(source / name, copy / name)
            _sync(copy / name)
        _sync(copy)
        copied = load_bundle(copy)  # what was copied is what was checked
        copy.rename(target)
    _sync(bundles_dir)
    return replace(copied, path=target)


def _checked(path: Path, description: Mapping[str, Any]) -> Bundle:
    version = description["schema_version"]
    if version != SCHEMA_VERSION:
        raise BundleError(f"bundle {path}: schema_version {version!r}; this service reads {SCHEMA_VERSION}")
    image, embedding, files = description["image"], description["embedding"], description["files"]
    for field, came, allowed in (
        ("image.colour", image["colour"], "RGB"),
        ("image.resize", image["resize"], RESIZE_RULE),
        ("embedding.metric", embedding["metric"], "cosine"),
    ):
        if came != allowed:
            raise BundleError(f"bundle {path}: {field} is {came!r}; this service reads {allowed!r}")
    for field, size in (("width", image["width"]), ("height", image["height"]), ("dim", embedding["dim"])):
        if not isinstance(size, int) or size < 1:
            raise BundleError(f"bundle {path}: {field} is {size!r}; allowed is a positive whole number")
    if "model.onnx" not in files:
        raise BundleError(f"bundle {path}: bundle.json lists no model.onnx")
    if description["digest"] != _digest(description):
        raise BundleError(f"bundle {path}: bundle.json does not match its digest: it was changed or damaged")
    for name, expected in files.items():
        if not _FILE_NAME.fullmatch(name) or not _SUM.fullmatch(expected):
            raise BundleError(f"bundle {path}: files has the unusable entry {name!r}")
        try:
            with (path / name).open("rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise BundleError(f"bundle {path}: {name} cannot be read ({error.strerror})") from error
        if found != expected:
            raise BundleError(f"bundle {path}: {name} does not match its SHA-256: it was changed or damaged")
    return Bundle(
        path=path,
        name=str(description["name"]),
        digest=description["digest"],
        width=image["width"],
        height=image["height"],
        dim=embedding["dim"],
        closed_form=description["explain"].get("closed_form", False) is True,
        pair_heatmaps=description["explain"].get("pair_heatmaps", False) is True,
        files=frozenset(files),
    )


def _digest(description: Mapping[str, Any]) -> str:
    content = {key: value for key, value in description.items() if key != "digest"}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
