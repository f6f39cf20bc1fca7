"""Findings -> `evaluation.json`.

Its keys; an interval is `{"value", "low", "high"}`, 95 %, and all shares are from 0 to 1:

    schema_version      1
    bundle              path, name, digest, class_names
    data                path, class_counts of the images measured; bad_images: what cannot be read, reasons by item id
    part                name (test, train, all), reason, image_count, reference_count, probe_count, references_are,
                        trained_on, kin_trained_on
    settings            seed, threads, group_regex, max_bad_images, k, perplexity, eps, min_samples, draws, query_limit,
                        map_limit, heatmap_limit
    retrieval           query_count; learned, raw_pixels and learned_minus_raw_pixels (paired), each with intervals
                        precision_at_1, r_precision, map_at_r; chance with plain numbers, as it is known exactly
    classification      k; intervals knn_accuracy, logistic_regression_accuracy, top_3_accuracy (null with three
                        classes or fewer), commonest_class_accuracy; has_converged
    confusion           class_names, counts: counts[true][told] of the logistic regression
    classes             by name: image_count; intervals precision_at_1, map_at_r, recall (of the logistic regression),
                        each null where no image of the class could be asked about
    map                 image_count, perplexity, intervals noise_share, nmi (noise counts as a cluster); cluster_count,
                        low and high of which are of the Bayesian bootstrap and need not hold the value (see
                        metrics.clustering.cluster_count); null with too few images
    faithfulness        of heat maps: image_count; heatmap, and for comparison random and centre, each with intervals
                        deletion, insertion, road (evaluate.perturbation says what they are); heatmap_minus_random and
                        heatmap_minus_centre (paired) likewise; curves: shares, and the mean cosines of deletion and
                        insertion at each; null where the graph gives no heat maps
    notes               sentences a reader has to know
    machine, versions, date (UTC), seconds
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from farnear_training.evaluate.findings import FaithfulnessFigures, Findings
from farnear_training.evaluate.notes import notes
from farnear_training.evaluate.perturbation import SHARES
from farnear_training.metrics import Interval

SCHEMA_VERSION = 1


def document(findings: Findings) -> dict[str, Any]:
    """The content of `evaluation.json`, as the module's docstring lays it down."""
    bundle, part, classification, drawn_map = (
        findings.bundle,
        findings.part,
        findings.classification,
        findings.map,
    )
    return {
        "schema_version": SCHEMA_VERSION,
        "bundle": {
            "path": str(bundle.path),
            "name": bundle.name,
            "digest": bundle.digest,
            "class_names": list(bundle.class_names),
        },
        "data": {
            "path": str(findings.data),
            "class_counts": {figures.name: figures.image_count for figures in findings.classes},
            "bad_images": dict(findings.bad_images),
        },
        "part": {
            "name": part.name,
            "reason": part.reason,
            "image_count": len(part.images),
            "reference_count": len(part.references),
            "probe_count": len(part.probes),
            "references_are": part.references_are,
            "trained_on": part.trained_on,
            "kin_trained_on": part.kin_trained_on,
        },
        "settings": asdict(findings.settings),
        "retrieval": {
            "query_count": findings.retrieval.query_count,
            "learned": _by_measure(findings.retrieval.learned),
            "raw_pixels": _by_measure(findings.retrieval.raw_pixels),
            "learned_minus_raw_pixels": _by_measure(findings.retrieval.gain),
            "chance": asdict(findings.retrieval.chance),
        },
        "classification": {
            "k": classification.k,
            "knn_accuracy": asdict(classification.knn),
            "logistic_regression_accuracy": asdict(classification.logistic_regression),
            "top_3_accuracy": _maybe(classification.top_3),
            "commonest_class_accuracy": asdict(classification.commonest),
            "has_converged": classification.has_converged,
        },
        "confusion": {
            "class_names": list(findings.measured.class_names),
            "counts": classification.confusion.tolist(),
        },
        "classes": {
            figures.name: {
                "image_count": figures.image_count,
                "precision_at_1": _maybe(figures.precision_at_1),
                "map_at_r": _maybe(figures.map_at_r),
                "recall": _maybe(figures.recall),
            }
            for figures in findings.classes
        },
        "map": None
        if drawn_map is None
        else {
            "image_count": len(drawn_map.images),
            "perplexity": drawn_map.perplexity,
            "cluster_count": asdict(drawn_map.cluster_count),
            "noise_share": asdict(drawn_map.noise_share),
            "nmi": asdict(drawn_map.nmi),
        },
        "faithfulness": None if findings.faithfulness is None else _faithfulness(findings.faithfulness),
        "notes": notes(findings),
        "machine": findings.conditions.machine,
        "versions": dict(findings.conditions.versions),
        "date": findings.conditions.ended.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "seconds": findings.conditions.seconds,
    }


def _faithfulness(figures: FaithfulnessFigures) -> dict[str, Any]:
    return {
        "image_count": figures.image_count,
        **{name: _by_measure(intervals) for name, intervals in figures.scores.items()},
        **{f"heatmap_minus_{name}": _by_measure(intervals) for name, intervals in figures.gains.items()},
        "curves": {
            "shares": list(SHARES),
            **{
                kind: {name: list(curve) for name, curve in by_name.items()} for kind, by_name in figures.curves.items()
            },
        },
    }


def _by_measure(intervals: Mapping[str, Interval]) -> dict[str, dict[str, float]]:
    return {measure: asdict(interval) for measure, interval in intervals.items()}


def _maybe(interval: Interval | None) -> dict[str, float] | None:
    return None if interval is None else asdict(interval)
