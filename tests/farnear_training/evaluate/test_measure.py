from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from farnear_training.data import Dataset
from farnear_training.evaluate.bundle import load_bundle
from farnear_training.evaluate.faithfulness import judge
from farnear_training.evaluate.findings import Findings
from farnear_training.evaluate.graph import Graph
from farnear_training.evaluate.measure import measure
from farnear_training.metrics import MEASURES, chance, retrieval
from numpy.typing import NDArray
from sklearn.cluster import DBSCAN
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix, normalized_mutual_info_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.farnear_training.evaluate.conftest import QUICK

TEST = np.arange(0, 48, 3)
TRAIN = np.setdiff1d(np.arange(48), TEST)


@pytest.fixture(scope="module")
def vectors(bundle: Path, stripes: Dataset) -> NDArray[np.float32]:
    return Graph(load_bundle(bundle), threads=1).embed(stripes.images)


def test_retrieval_stands_beside_pixels_and_chance(
    findings: Findings, stripes: Dataset, vectors: NDArray[np.float32]
) -> None:
    assert findings.measured.item_ids == stripes.item_ids[::3]
    learned = asdict(retrieval(vectors[TEST], stripes.labels[TEST]))
    raw_pixels = asdict(retrieval(stripes.images[TEST].reshape(16, -1), stripes.labels[TEST]))
    figures = findings.retrieval
    assert figures.query_count == 16
    for measure_name in MEASURES:
        assert figures.learned[measure_name].value == pytest.approx(learned[measure_name])
        assert figures.raw_pixels[measure_name].value == pytest.approx(raw_pixels[measure_name])
        gain = figures.gain[measure_name]
        assert gain.value == pytest.approx(learned[measure_name] - raw_pixels[measure_name])
        assert gain.low < gain.value < gain.high
    assert figures.chance == chance(stripes.labels[TEST])


def test_classes_are_told_from_the_training_images(
    findings: Findings, stripes: Dataset, vectors: NDArray[np.float32]
) -> None:
    labels = stripes.labels
    knn = KNeighborsClassifier(5, algorithm="brute").fit(vectors[TRAIN], labels[TRAIN])  # of two classes one has more
    logistic = make_pipeline(StandardScaler(), LogisticRegression()).fit(vectors[TRAIN], labels[TRAIN])
    told = logistic.predict(vectors[TEST])
    figures = findings.classification
    assert figures.k == 5
    assert figures.knn.value == knn.score(vectors[TEST], labels[TEST])
    assert figures.logistic_regression.value == (told == labels[TEST]).mean()
    assert figures.top_3 is None  # there are two classes
    assert figures.commonest.value == 0.5
    assert figures.has_converged
    expected = confusion_matrix(labels[TEST], told)
    np.testing.assert_array_equal(figures.confusion, expected)
    assert [one.recall.value for one in findings.classes if one.recall] == (expected.diagonal() / 8).tolist()


def test_figures_of_the_classes_make_up_those_of_all(findings: Findings) -> None:
    assert [(figures.name, figures.image_count) for figures in findings.classes] == [("lying", 8), ("upright", 8)]
    for measure_name in ("precision_at_1", "map_at_r"):
        values = [getattr(figures, measure_name).value for figures in findings.classes]
        assert np.mean(values) == pytest.approx(findings.retrieval.learned[measure_name].value)


def test_the_map_has_the_clusters_of_dbscan(findings_of_all: Findings, stripes: Dataset) -> None:
    drawn = findings_of_all.map
    assert drawn is not None
    assert drawn.images.tolist() == list(range(48))
    assert drawn.perplexity == 8
    expected = DBSCAN(eps=3, min_samples=10).fit(drawn.positions).labels_
    np.testing.assert_array_equal(drawn.clusters, expected)
    assert drawn.cluster_count.value == expected.max() + 1
    assert drawn.noise_share.value == (expected == -1).mean()
    assert drawn.nmi.value == pytest.approx(normalized_mutual_info_score(stripes.labels, expected))


def test_few_images_have_a_figure_but_no_map(bundle: Path, pack: Path) -> None:
    found = measure(bundle, pack, None, replace(QUICK, min_samples=17))
    assert found.map is None
    assert found.retrieval.query_count == 16


def test_neighbours_are_the_nearest_of_the_images_measured(findings: Findings, vectors: NDArray[np.float32]) -> None:
    own, labels = vectors[TEST], findings.measured.labels
    assert [findings.measured.labels[row.query] for row in findings.examples] == [0, 1]
    similarity = own @ own.T
    for row in (*findings.examples, *findings.mistakes):
        order = sorted(set(range(16)) - {row.query}, key=lambda other: -similarity[row.query, other])
        assert list(row.nearest) == order[:10]
        assert row.similarities == pytest.approx(similarity[row.query, order[:10]].tolist(), abs=1e-6)
    np.fill_diagonal(similarity, -2)
    nearest = similarity.argmax(axis=1)
    wrong = [query for query in range(16) if labels[nearest[query]] != labels[query]]
    wrong.sort(key=lambda query: -similarity[query].max())
    assert len(wrong) >= 2
    assert [row.query for row in findings.mistakes] == wrong[:4]


def test_heat_maps_are_judged_where_there_are_some(
    findings: Findings, bundle: Path, tiny_bundle: Path, pack: Path
) -> None:
    graph = Graph(load_bundle(bundle), threads=1)
    assert findings.faithfulness == judge(graph, findings.measured.images, QUICK)
    assert measure(tiny_bundle, pack, None, QUICK).faithfulness is None


def test_large_sets_are_drawn_from(bundle: Path, pack: Path) -> None:
    found = measure(bundle, pack, "all", replace(QUICK, query_limit=20, map_limit=30, heatmap_limit=7))
    assert found.retrieval.query_count == 20
    assert found.faithfulness is not None
    assert found.faithfulness.image_count == 7
    assert found.map is not None
    assert len(found.map.images) == len(set(found.map.images.tolist())) == 30


def test_the_same_is_found_again(bundle: Path, pack: Path, findings: Findings) -> None:
    again = measure(bundle, pack, None, QUICK)
    assert again.retrieval == findings.retrieval
    assert again.faithfulness == findings.faithfulness
    assert again.classes == findings.classes
    assert again.map is not None
    assert findings.map is not None
    np.testing.assert_array_equal(again.map.positions, findings.map.positions)
    assert (again.examples, again.mistakes) == (findings.examples, findings.mistakes)
