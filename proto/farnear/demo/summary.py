"""What a demo run says at its end: its figures for people and for machines, and the commands to go on."""

import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from farnear.demo.findings import Findings
from farnear.demo.report import verdict
from farnear.tables import table


def text(findings: Findings, *, data: Path, collection: str, page: Path) -> str:
    """The summary for people.

    Args:
        findings: What the run found.
        data: The data folder of the service.
        collection: The name of the collection in it.
        page: The report.
    """
    training, clustering = findings.training, findings.clustering
    scores = table(
        ("held-out retrieval", "precision@1", "MAP@R"),
        [
            (name, score.precision_at_1, score.map_at_r)
            for name, score in (
                ("learned", training.learned),
                ("raw pixels", training.raw_pixels),
                ("chance", training.chance),
            )
        ],
    )
    reused = " (reused)" if training.is_reused else ""
    facts: Mapping[str, str] = {
        "clusters": f"{len(clustering.clusters)} against {len(findings.class_counts)} classes, "
        f"{findings.noise_share:.1%} of {len(findings.points):,} images are noise",
        "training": f"{training.iterations:,} steps of {training.seconds_per_step:.3f} s, "
        f"{training.seconds:.0f} s in all{reused}",
        "bundle": training.digest[:12],
        "machine": findings.conditions.machine,
        "total": f"{findings.conditions.seconds:.0f} s",
        "report": str(page),
    }
    lines = [f"{name:10}{fact}" for name, fact in facts.items()]
    return "\n\n".join(
        (verdict(findings), scores, "\n".join(lines), _commands(findings.questions[0].item_id, data, collection))
    )


def document(findings: Findings, *, data: Path, collection: str, page: Path) -> dict[str, Any]:
    """The same for machines, with stable keys; times in seconds, shares from 0 to 1."""
    training, clustering = findings.training, findings.clustering
    return {
        "report": str(page),
        "data": str(data),
        "collection": collection,
        "digest": training.digest,
        "evaluation": {
            **asdict(training.learned),
            "raw_pixels": asdict(training.raw_pixels),
            "chance": asdict(training.chance),
        },
        "images": len(findings.points),
        "classes": len(findings.class_counts),
        "clusters": len(clustering.clusters),
        "noise_share": findings.noise_share,
        "iterations": training.iterations,
        "seconds_per_step": training.seconds_per_step,
        "training_seconds": training.seconds,
        "training_reused": training.is_reused,
        "seconds": findings.conditions.seconds,
        "machine": findings.conditions.machine,
    }


def _commands(item_id: str, data: Path, collection: str) -> str:
    farnear, of_cells = _program(), f"--collection {collection}"
    image = shlex.quote(f"id:{item_id}")
    return "\n".join(
        (
            "To go on, serve the demo's data again:",
            f"  {farnear} serve --data {shlex.quote(str(data))}",
            "and ask in another terminal:",
            f"  {farnear} similar {image} {of_cells}",
            f"  {farnear} divergent {image} {of_cells}",
            f"  {farnear} explain {image} {of_cells} --out heat.png",
            f"  {farnear} clusters list {of_cells}",
        )
    )


def _program() -> str:
    """How this `farnear` is called from here: by its name where the shell finds it, else by its path."""
    beside = Path(sys.executable).with_name("farnear")
    found = shutil.which("farnear")
    if not beside.exists() or (found is not None and Path(found).resolve() == beside.resolve()):
        return "farnear"
    shown = beside.relative_to(Path.cwd()) if beside.is_relative_to(Path.cwd()) else beside
    return shlex.quote(str(shown))
