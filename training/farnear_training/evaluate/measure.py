"""A bundle and labelled images -> findings: what is measured, in order."""

import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # comes with scikit-learn, has no types
from tqdm import tqdm

from farnear_training import data
from farnear_training.data import Dataset
from farnear_training.evaluate.bundle import load_bundle
from farnear_training.evaluate.conditions import observe
from farnear_training.evaluate.faithfulness import judge
from farnear_training.evaluate.findings import (
    ClassFigures,
    ClassificationFigures,
    Findings,
    MapFigures,
    Neighbours,
    RetrievalFigures,
    Settings,
)
from farnear_training.evaluate.graph import Graph
from farnear_training.evaluate.part import Part, choose
from farnear_training.metrics import MEASURES, Interval, askable, chance, mean_intervals, query_scores
from farnear_training.metrics.classification import confusion, k_nearest, logistic_regression
from farnear_training.metrics.clustering import (
    FIT_STEPS,
    NOISE,
    cluster_count,
    density_clusters,
    lay_out,
    normalized_mutual_information,
)
from farnear_training.metrics.similarity import nearest

_SHOWN_NEIGHBOURS = 10
_SHOWN_CLASSES = 8
_SHOWN_MISTAKES = 4


def measure(bundle_path: Path, data_path: Path, asked: str | None, settings: Settings) -> Findings:
    """Evaluates a bundle on labelled images.

    Args:
        bundle_path: The bundle's folder.
        data_path: Folder or uncompressed tar of class/file; the classes need not be the bundle's.
        asked: One of part.PARTS, or None for test where DATA has the bundle's test images and all where not.
        settings: Everything else.

    Raises:
        BundleError: The bundle is missing, damaged or of another kind.
        DataError: The images cannot be read.
        PartError: The part asked for cannot be measured.
    """
    began = time.perf_counter()
    bundle = load_bundle(bundle_path)
    dataset = data.load(
        data_path, bundle.width, bundle.height, threads=settings.threads, max_bad_images=settings.max_bad_images
    )
    part = choose(bundle, dataset, asked, settings.seed, group_regex=settings.group_regex)
    graph = Graph(bundle, threads=settings.threads)
    needed = np.union1d(part.images, part.references)
    vectors = np.zeros((len(dataset), bundle.dim), np.float32)
    with tqdm(total=len(needed), desc="embed", unit="image", disable=None) as bar:
        vectors[needed] = graph.embed(dataset.images[needed], bar.update)

    measured, own = dataset.subset(part.images), vectors[part.images]
    with threadpool_limits(settings.threads):
        queries = _drawn(askable(measured.labels), settings.query_limit, settings.seed)
        scores, pixel_scores = _scores(measured, own, queries)
        retrieval = _retrieval(measured, scores, pixel_scores, settings)
        classification, told = _classification(dataset, vectors, part, settings)
        classes = _classes(measured, queries, scores, dataset.labels[part.probes], told, settings)
        drawn_map = _map(measured, own, settings)
        judged = _drawn(np.arange(len(measured)), settings.heatmap_limit, settings.seed)
        faithfulness = judge(graph, measured.images[judged], settings) if graph.has_heatmaps else None
        examples, mistakes = _neighbours(measured, own, queries, settings)
    return Findings(
        bundle=bundle,
        data=data_path,
        measured=measured,
        part=part,
        settings=settings,
        retrieval=retrieval,
        classification=classification,
        classes=classes,
        map=drawn_map,
        faithfulness=faithfulness,
        examples=examples,
        mistakes=mistakes,
        bad_images=dataset.bad,
        conditions=observe(seconds=time.perf_counter() - began),
    )


def _drawn(positions: NDArray[np.int64], limit: int, seed: int) -> NDArray[np.int64]:
    """`positions`, or a seeded `limit` of them in their order."""
    if len(positions) <= limit:
        return positions
    return np.sort(np.random.default_rng(seed).choice(positions, limit, replace=False))


def _scores(
    measured: Dataset, vectors: NDArray[np.float32], queries: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The scores of the queries by vectors and by raw pixels, each of shape (Q, 3)."""
    pixels = measured.images.reshape(len(measured), -1)
    with tqdm(total=2 * len(queries), desc="rank", unit="query", disable=None) as bar:
        by_vectors = query_scores(vectors, measured.labels, queries, bar.update)
        return by_vectors, query_scores(pixels, measured.labels, queries, bar.update)


def _retrieval(
    measured: Dataset, scores: NDArray[np.float64], pixel_scores: NDArray[np.float64], settings: Settings
) -> RetrievalFigures:
    columns = np.concatenate([scores, pixel_scores, scores - pixel_scores], axis=1)
    intervals = mean_intervals(columns, draws=settings.draws, seed=settings.seed)
    learned, raw_pixels, gain = (
        dict(zip(MEASURES, intervals[start : start + len(MEASURES)], strict=True))
        for start in range(0, len(intervals), len(MEASURES))
    )
    return RetrievalFigures(
        query_count=len(scores), learned=learned, raw_pixels=raw_pixels, gain=gain, chance=chance(measured.labels)
    )


def _classification(
    dataset: Dataset, vectors: NDArray[np.float32], part: Part, settings: Settings
) -> tuple[ClassificationFigures, NDArray[np.int64]]:
    """The figures, and the classes that the logistic regression tells the probes, of shape (P,)."""
    references, reference_labels = vectors[part.references], dataset.labels[part.references]
    probes, labels = vectors[part.probes], dataset.labels[part.probes]
    k = min(settings.k, len(references))
    ranking = logistic_regression(references, reference_labels, probes)
    hits = np.stack(
        [
            k_nearest(references, reference_labels, probes, k) == labels,
            ranking.hits(labels, 1),
            ranking.hits(labels, 3),
            labels == np.bincount(reference_labels).argmax(),
        ],
        axis=1,
    )
    knn, logistic, top_3, commonest = mean_intervals(hits.astype(np.float64), draws=settings.draws, seed=settings.seed)
    told = ranking.labels[:, 0]
    figures = ClassificationFigures(
        k=k,
        knn=knn,
        logistic_regression=logistic,
        top_3=top_3 if ranking.labels.shape[1] > 3 else None,
        commonest=commonest,
        has_converged=ranking.has_converged,
        confusion=confusion(labels, told, len(dataset.class_names)),
    )
    return figures, told


def _classes(
    measured: Dataset,
    queries: NDArray[np.int64],
    scores: NDArray[np.float64],
    probe_labels: NDArray[np.int64],
    told: NDArray[np.int64],
    settings: Settings,
) -> tuple[ClassFigures, ...]:
    def within(values: NDArray[np.float64]) -> Interval | None:
        if not len(values):
            return None
        return mean_intervals(values[:, None], draws=settings.draws, seed=settings.seed)[0]

    figures = []
    for label, name in enumerate(measured.class_names):
        asked = scores[measured.labels[queries] == label]
        figures.append(
            ClassFigures(
                name=name,
                image_count=int((measured.labels == label).sum()),
                precision_at_1=within(asked[:, MEASURES.index("precision_at_1")]),
                map_at_r=within(asked[:, MEASURES.index("map_at_r")]),
                recall=within((told[probe_labels == label] == label).astype(np.float64)),
            )
        )
    return tuple(figures)


def _map(measured: Dataset, vectors: NDArray[np.float32], settings: Settings) -> MapFigures | None:
    images = _drawn(np.arange(len(measured)), settings.map_limit, settings.seed)
    if len(images) < max(settings.min_samples, 4):  # t-SNE needs three others
        return None
    perplexity = min(settings.perplexity, (len(images) - 1) / 3)
    with tqdm(total=FIT_STEPS, desc="map", unit="step", disable=None) as bar:
        positions = lay_out(vectors[images], perplexity, settings.seed, bar.update)
    clusters = density_clusters(positions, settings.eps, settings.min_samples)
    with tqdm(total=settings.draws, desc="clusters", unit="draw", disable=None) as bar:
        count = cluster_count(
            positions,
            settings.eps,
            settings.min_samples,
            draws=settings.draws,
            seed=settings.seed,
            progress=bar.update,
        )
    is_noise = (clusters == NOISE).astype(np.float64)
    return MapFigures(
        images=images,
        positions=positions,
        clusters=clusters,
        perplexity=perplexity,
        cluster_count=count,
        noise_share=mean_intervals(is_noise[:, None], draws=settings.draws, seed=settings.seed)[0],
        nmi=normalized_mutual_information(measured.labels[images], clusters, draws=settings.draws, seed=settings.seed),
    )


def _neighbours(
    measured: Dataset, vectors: NDArray[np.float32], queries: NDArray[np.int64], settings: Settings
) -> tuple[tuple[Neighbours, ...], tuple[Neighbours, ...]]:
    """One query drawn from each class, or from some where there are many; and the most confident mistakes."""
    k = min(_SHOWN_NEIGHBOURS, len(measured) - 1)
    positions, similarities = nearest(vectors[queries], vectors, k, own=queries)
    labels = measured.labels[queries]

    def shown(row: int) -> Neighbours:
        return Neighbours(
            query=int(queries[row]),
            nearest=tuple(positions[row].tolist()),
            similarities=tuple(similarities[row].tolist()),
        )

    generator = np.random.default_rng(settings.seed)
    present = _drawn(np.unique(labels), _SHOWN_CLASSES, settings.seed)
    examples = tuple(shown(int(generator.choice(np.flatnonzero(labels == label)))) for label in present)
    wrong = np.flatnonzero(measured.labels[positions[:, 0]] != labels)
    worst = wrong[np.argsort(-similarities[wrong, 0], kind="stable")][:_SHOWN_MISTAKES]
    return examples, tuple(shown(int(row)) for row in worst)
