"""What a reader of an evaluation has to know beside its figures."""

from farnear_training.data import Dataset
from farnear_training.evaluate.findings import ClassificationFigures, MapFigures, RetrievalFigures, Settings
from farnear_training.evaluate.part import Part
from farnear_training.metrics import askable


def notes(
    part: Part,
    measured: Dataset,
    retrieval: RetrievalFigures,
    classification: ClassificationFigures,
    drawn_map: MapFigures | None,
    settings: Settings,
) -> list[str]:
    """Sentences on what flatters the figures, and on what was drawn or left out; none where there is nothing to say."""
    found = []
    count = len(measured)
    if part.trained_on:
        found.append(
            f"The model was trained on {part.trained_on:,} of the {count:,} images measured:"
            " the figures flatter it, and say nothing of new images."
        )
    alone = count - len(askable(measured.labels))
    if alone:
        found.append(f"Not asked about, as alone in their class here: {alone:,}.")
    if retrieval.query_count < count - alone:
        found.append(f"{retrieval.query_count:,} of the {count - alone:,} images, drawn at random, were asked about.")
    if not classification.has_converged:
        found.append("The logistic regression did not come to its end: its accuracy may be too low.")
    if drawn_map is None:
        found.append(f"No map and no clusters: {count} images are fewer than the {settings.min_samples} of a cluster.")
    elif len(drawn_map.images) < count:
        found.append(f"The map shows {len(drawn_map.images):,} of the {count:,} images, drawn at random.")
    return found
