import json
import re
from dataclasses import asdict, replace

from farnear_training.evaluate import document as module
from farnear_training.evaluate.document import document
from farnear_training.evaluate.findings import Findings

INTERVAL = {"value", "low", "high"}


def test_every_key_is_documented(findings_of_all: Findings) -> None:
    written = document(findings_of_all)
    assert module.__doc__ is not None
    lines = re.findall(r"^    (\S.*?)(?:  +(.*))?$", module.__doc__, re.MULTILINE)
    assert {name for names, _ in lines for name in names.split(", ")} >= {key for key in written if key != "date"}
    words = set(re.findall(r"\w+", module.__doc__))
    for key in (
        "bundle",
        "data",
        "part",
        "settings",
        "retrieval",
        "classification",
        "confusion",
        "map",
        "faithfulness",
    ):
        assert words >= written[key].keys(), key
    assert words >= written["classes"]["lying"].keys()


def test_it_is_json_and_tells_what_was_found(findings_of_all: Findings) -> None:
    written = document(findings_of_all)
    assert json.loads(json.dumps(written, allow_nan=False)) == written
    retrieval, classification = findings_of_all.retrieval, findings_of_all.classification
    assert findings_of_all.map is not None
    assert written["bundle"]["digest"] == findings_of_all.bundle.digest
    assert written["data"]["class_counts"] == {"lying": 24, "upright": 24}
    assert written["part"] | {"reason": "", "references_are": ""} == {
        "name": "all",
        "reason": "",
        "image_count": 48,
        "reference_count": 34,
        "probe_count": 14,
        "references_are": "",
        "trained_on": 32,
        "kin_trained_on": 0,
    }
    assert written["retrieval"]["learned"]["map_at_r"] == asdict(retrieval.learned["map_at_r"])
    assert written["retrieval"]["raw_pixels"]["r_precision"] == asdict(retrieval.raw_pixels["r_precision"])
    assert written["retrieval"]["learned_minus_raw_pixels"]["map_at_r"] == asdict(retrieval.gain["map_at_r"])
    assert written["retrieval"]["chance"] == asdict(retrieval.chance)
    assert written["classification"]["knn_accuracy"] == asdict(classification.knn)
    assert written["classification"]["top_3_accuracy"] is None
    assert written["confusion"] == {"class_names": ["lying", "upright"], "counts": classification.confusion.tolist()}
    assert written["classes"]["lying"].keys() == {"image_count", "precision_at_1", "map_at_r", "recall"}
    assert written["classes"]["lying"]["recall"].keys() == INTERVAL
    assert written["map"]["cluster_count"] == asdict(findings_of_all.map.cluster_count)
    faithfulness = findings_of_all.faithfulness
    assert faithfulness is not None
    assert written["faithfulness"]["image_count"] == 48
    assert written["faithfulness"]["random"]["road"] == asdict(faithfulness.scores["random"]["road"])
    assert written["faithfulness"]["heatmap_minus_centre"]["deletion"] == asdict(
        faithfulness.gains["centre"]["deletion"]
    )
    assert written["faithfulness"]["curves"]["shares"] == [tenth / 10 for tenth in range(11)]
    assert written["faithfulness"]["curves"]["insertion"]["heatmap"] == list(
        faithfulness.curves["insertion"]["heatmap"]
    )
    assert written["settings"] == asdict(findings_of_all.settings)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", written["date"])


def test_what_could_not_be_measured_is_null(findings: Findings) -> None:
    nobody = replace(findings.classes[0], precision_at_1=None, map_at_r=None, recall=None)
    written = document(replace(findings, map=None, faithfulness=None, classes=(nobody, findings.classes[1])))
    assert written["map"] is None
    assert written["faithfulness"] is None
    assert written["classes"]["lying"] == {"image_count": 8, "precision_at_1": None, "map_at_r": None, "recall": None}
