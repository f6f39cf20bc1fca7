"""Where and when an evaluation was made."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from farnear_training.evaluate.findings import Conditions

# Of ONNX Runtime one of two is installed.
_PACKAGES = ("farnear", "onnxruntime", "onnxruntime-gpu", "opentsne", "scikit-learn", "numpy", "pillow")


def observe(*, seconds: float) -> Conditions:
    """The conditions of an evaluation that took `seconds` and ends now."""
    return Conditions(
        machine=f"{_processor()}, {os.cpu_count()} cores, {platform.system()}",
        ended=datetime.now(UTC).replace(microsecond=0),
        seconds=seconds,
        versions=_versions(),
    )


def _processor() -> str:
    facts = Path("/proc/cpuinfo")  # of Linux, where the platform module knows the architecture alone
    lines = facts.read_text(encoding="utf-8").splitlines() if facts.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _versions() -> dict[str, str]:
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions | {"python": platform.python_version()}
