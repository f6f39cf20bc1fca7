"""What a reader of an evaluation has to know beside its figures."""

from farnear_training.evaluate.findings import Findings
from farnear_training.metrics import askable


def notes(findings: Findings) -> list[str]:
    """Sentences on what flatters the figures, and on what was drawn or left out; none where there is nothing to say."""
    found = []
    part, settings = findings.part, findings.settings
    count = len(findings.measured)
    if part.trained_on:
        found.append(
            f"The model was trained on {part.trained_on:,} of the {count:,} images measured:"
            " the figures flatter it, and say nothing of new images."
        )
    if part.kin_trained_on:
        found.append(
            f"The model was trained on other images of the groups of {part.kin_trained_on:,} of the {count:,} images"
            " measured: the figures flatter it."
        )
    if settings.group_regex is not None:
        found.append("Groups are kept apart where classes are told, not in retrieval and not on the map.")
    elif findings.bundle.group_regex is not None and len(part.probes) < count:
        found.append(
            f"Training kept groups of images apart by {findings.bundle.group_regex!r}, this evaluation did not:"
            " see --group-regex."
        )
    if findings.bad_images:
        found.append(f"Passed over, as they cannot be read: {len(findings.bad_images):,} images.")
    alone = count - len(askable(findings.measured.labels))
    if alone:
        found.append(f"Not asked about, as alone in their class here: {alone:,}.")
    query_count = findings.retrieval.query_count
    if query_count < count - alone:
        found.append(f"{query_count:,} of the {count - alone:,} images, drawn at random, were asked about.")
    if not findings.classification.has_converged:
        found.append("The logistic regression did not come to its end: its accuracy may be too low.")
    if findings.map is None:
        found.append(f"No map and no clusters: {count} images are fewer than the {settings.min_samples} of a cluster.")
    elif len(findings.map.images) < count:
        found.append(f"The map shows {len(findings.map.images):,} of the {count:,} images, drawn at random.")
    if findings.faithfulness is None:
        found.append("No figures of heat maps: model.onnx gives none, and only those it gives are judged.")
    elif findings.faithfulness.image_count < count:
        judged = findings.faithfulness.image_count
        found.append(f"Heat maps of {judged:,} of the {count:,} images, drawn at random, were judged.")
    return found
