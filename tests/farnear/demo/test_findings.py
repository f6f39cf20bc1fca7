import pytest
from farnear.demo.findings import Findings, Score


def test_a_score_is_above_another_only_in_both_measures() -> None:
    score = Score(precision_at_1=0.6, map_at_r=0.4)
    assert score.is_above(Score(precision_at_1=0.5, map_at_r=0.3))
    assert not score.is_above(Score(precision_at_1=0.6, map_at_r=0.3))
    assert not score.is_above(Score(precision_at_1=0.5, map_at_r=0.5))


def test_a_score_reads_a_bundle_evaluation() -> None:
    record = {"precision_at_1": 0.6, "r_precision": 0.5, "map_at_r": 0.4, "chance": {}}
    assert Score.read(record) == Score(precision_at_1=0.6, map_at_r=0.4)


def test_the_noise_share_is_of_all_images(findings: Findings) -> None:
    assert findings.noise_share == pytest.approx(1 / 12)
