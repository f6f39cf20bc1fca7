"""A small run of the demo, made up: twelve cells of three classes in two clusters, with one cell in none."""

import io
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from farnear.demo.findings import ClusterRow, Conditions, Findings, Question, Score, Training
from farnear.results import Certificate, ClassCount, Cluster, Clustering, Hit, MapInfo, MapPoint, SearchResult
from PIL import Image

EXACT = Certificate(exact=True, recall=1.0, calibration_k=None, calibration_queries=None, calibration_time=None)
LABELS = ("mono-0.00", "mono-1.00", "poly-1.00")


def png(shade: int, side: int = 20) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (side, side), shade).save(buffer, format="PNG")
    return buffer.getvalue()


def hits(*item_ids: str) -> tuple[Hit, ...]:
    return tuple(
        Hit(rank=rank, item_id=item_id, similarity=1 - 0.5 * rank, label=item_id.partition("/")[0], cluster=0)
        for rank, item_id in enumerate(item_ids, start=1)
    )


@pytest.fixture
def findings(tmp_path: Path) -> Findings:
    item_ids = [f"{label}/cell{number}.png" for label in LABELS for number in range(4)]
    for position, item_id in enumerate(item_ids):
        path = tmp_path / "cells" / item_id
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(20 * position))
    numbers = [0] * 6 + [1] * 5 + [-1]
    points = tuple(
        MapPoint(
            item_id=item_id, x=float(10 * number), y=float(position), cluster=number, label=item_id.partition("/")[0]
        )
        for position, (item_id, number) in enumerate(zip(item_ids, numbers, strict=True))
    )
    clusters = (
        Cluster(
            cluster=0,
            size=6,
            core_count=5,
            medoid_item_id=item_ids[1],
            classes=(ClassCount(label=LABELS[0], count=4), ClassCount(label=LABELS[1], count=2)),
        ),
        Cluster(
            cluster=1,
            size=5,
            core_count=5,
            medoid_item_id=item_ids[8],
            classes=(ClassCount(label=LABELS[2], count=3), ClassCount(label=LABELS[1], count=2)),
        ),
    )
    return Findings(
        images=tmp_path / "cells",
        class_counts=dict.fromkeys(LABELS, 4),
        held_out=frozenset(item_ids[::4]),
        training=Training(
            digest="ab" * 32,
            learned=Score(precision_at_1=0.75, map_at_r=0.5),
            raw_pixels=Score(precision_at_1=0.5, map_at_r=0.25),
            chance=Score(precision_at_1=0.3, map_at_r=0.125),
            iterations=1500,
            image_size=64,
            seed=7,
            seconds_per_step=0.125,
            seconds=200.0,
            is_reused=False,
        ),
        questions=(
            Question(
                item_id=item_ids[0],
                label=LABELS[0],
                result=SearchResult(
                    similar=hits(item_ids[1], item_ids[4]),
                    divergent=hits(item_ids[8], item_ids[9], item_ids[10]),
                    similar_certificate=EXACT,
                    divergent_certificate=EXACT,
                    error=None,
                ),
            ),
        ),
        clustering=Clustering(
            map=MapInfo(version=1, item_count=12, pending_count=0, eps=3.0, min_samples=10, perplexity=30.0, drift=0.0),
            clusters=clusters,
            noise_count=1,
        ),
        points=points,
        rows=(
            ClusterRow(cluster=clusters[0], item_ids=(item_ids[1], item_ids[0]), overlays=(png(1), png(2))),
            ClusterRow(cluster=clusters[1], item_ids=(item_ids[8],), overlays=(png(3),)),
        ),
        conditions=Conditions(
            machine="a processor, 2 cores",
            ended=datetime(2026, 11, 22, 18, 0, tzinfo=UTC),
            seconds=300.0,
            versions={"farnear": "0.1.0"},
        ),
    )


@pytest.fixture
def score_learned(findings: Findings) -> Callable[[float, float], Findings]:
    """The same run with other scores of the learned embedding."""

    def score(precision_at_1: float, map_at_r: float) -> Findings:
        learned = Score(precision_at_1=precision_at_1, map_at_r=map_at_r)
        return replace(findings, training=replace(findings.training, learned=learned))

    return score


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Makes a script run in place of `python -m farnear`, with json, pathlib and sys; gives the file of its argv."""

    def install(script: str) -> Path:
        argv = tmp_path / "argv.json"
        program = tmp_path / "stand_in.py"
        head = f"#!{sys.executable}\nimport json, pathlib, sys\n"
        program.write_text(f"{head}pathlib.Path({str(argv)!r}).write_text(json.dumps(sys.argv))\n{script}")
        program.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(program))
        return argv

    return install
