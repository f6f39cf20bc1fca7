from dataclasses import replace

import numpy as np
from farnear_training.evaluate.findings import Findings
from farnear_training.evaluate.notes import notes

FLATTERS = (
    "The model was trained on 32 of the 48 images measured: the figures flatter it, and say nothing of new images."
)


def of(findings: Findings) -> list[str]:
    return notes(
        findings.part,
        findings.measured,
        findings.retrieval,
        findings.classification,
        findings.map,
        findings.settings,
    )


def test_where_there_is_nothing_to_say_nothing_is_said(findings: Findings) -> None:
    assert of(findings) == []
    assert findings.notes == ()


def test_what_flatters_is_said(findings_of_all: Findings) -> None:
    assert of(findings_of_all) == [FLATTERS]
    assert findings_of_all.notes == (FLATTERS,)


def test_what_was_drawn_is_said(findings_of_all: Findings) -> None:
    assert findings_of_all.map is not None
    fewer = replace(
        findings_of_all,
        retrieval=replace(findings_of_all.retrieval, query_count=20),
        map=replace(findings_of_all.map, images=np.arange(30)),
    )
    assert of(fewer) == [
        FLATTERS,
        "20 of the 48 images, drawn at random, were asked about.",
        "The map shows 30 of the 48 images, drawn at random.",
    ]


def test_what_is_missing_is_said(findings: Findings) -> None:
    labels = findings.measured.labels.copy()
    labels[0] = 2
    lone = replace(
        findings,
        measured=replace(findings.measured, labels=labels),
        retrieval=replace(findings.retrieval, query_count=15),
        classification=replace(findings.classification, has_converged=False),
        map=None,
        settings=replace(findings.settings, min_samples=17),
    )
    assert of(lone) == [
        "Not asked about, as alone in their class here: 1.",
        "The logistic regression did not come to its end: its accuracy may be too low.",
        "No map and no clusters: 16 images are fewer than the 17 of a cluster.",
    ]
