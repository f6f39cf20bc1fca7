from dataclasses import replace

import numpy as np
from farnear_training.evaluate.findings import Findings
from farnear_training.evaluate.notes import notes

FLATTERS = (
    "The model was trained on 32 of the 48 images measured: the figures flatter it, and say nothing of new images."
)


def test_where_there_is_nothing_to_say_nothing_is_said(findings: Findings) -> None:
    assert notes(findings) == []


def test_what_flatters_is_said(findings: Findings, findings_of_all: Findings) -> None:
    assert notes(findings_of_all) == [FLATTERS]
    kin = replace(
        findings,
        part=replace(findings.part, kin_trained_on=5),
        settings=replace(findings.settings, group_regex="^(.)"),
    )
    assert notes(kin) == [
        "The model was trained on other images of the groups of 5 of the 16 images measured: the figures flatter it.",
        "Groups are kept apart where classes are told, not in retrieval and not on the map.",
    ]


def test_groups_that_training_knew_are_spoken_of_where_images_are_parted(
    findings: Findings, findings_of_all: Findings
) -> None:
    grouped = replace(findings.bundle, group_regex="^(.)")
    assert notes(replace(findings, bundle=grouped)) == []  # judged by the training images, whose groups are others
    assert notes(replace(findings_of_all, bundle=grouped))[1:] == [
        "Training kept groups of images apart by '^(.)', this evaluation did not: see --group-regex."
    ]


def test_what_was_passed_over_is_said(findings: Findings) -> None:
    bad = replace(findings, bad_images={"lying/00.png": "broken", "lying/03.png": "broken"})
    assert notes(bad) == ["Passed over, as they cannot be read: 2 images."]


def test_what_was_drawn_is_said(findings_of_all: Findings) -> None:
    assert findings_of_all.map is not None
    assert findings_of_all.faithfulness is not None
    fewer = replace(
        findings_of_all,
        retrieval=replace(findings_of_all.retrieval, query_count=20),
        map=replace(findings_of_all.map, images=np.arange(30)),
        faithfulness=replace(findings_of_all.faithfulness, image_count=12),
    )
    assert notes(fewer) == [
        FLATTERS,
        "20 of the 48 images, drawn at random, were asked about.",
        "The map shows 30 of the 48 images, drawn at random.",
        "Heat maps of 12 of the 48 images, drawn at random, were judged.",
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
        faithfulness=None,
        settings=replace(findings.settings, min_samples=17),
    )
    assert notes(lone) == [
        "Not asked about, as alone in their class here: 1.",
        "The logistic regression did not come to its end: its accuracy may be too low.",
        "No map and no clusters: 16 images are fewer than the 17 of a cluster.",
        "No figures of heat maps: model.onnx gives none, and only those it gives are judged.",
    ]
