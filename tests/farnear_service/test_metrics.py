import pytest
from farnear_service.metrics import Metrics
from prometheus_client import generate_latest


def test_the_names_that_dashboards_and_alerts_use() -> None:
    metrics = Metrics()
    metrics.requests.labels("/m", "OK").inc()
    metrics.request_seconds.labels("/m").observe(0.1)
    metrics.items.labels("cells").set(3)
    metrics.cluster_lag.labels("cells").set(1.5)
    metrics.watch_queue(lambda: 7, 256)
    with metrics.stage("decode"):
        pass
    text = generate_latest(metrics.registry).decode()
    for line in (
        'farnear_requests_total{code="OK",method="/m"} 1.0',
        'farnear_request_seconds_count{method="/m"} 1.0',
        'farnear_stage_seconds_count{stage="decode"} 1.0',
        'farnear_items{collection="cells"} 3.0',
        "farnear_queue_length 7.0",
        "farnear_queue_limit 256.0",
        'farnear_cluster_lag_seconds{collection="cells"} 1.5',
    ):
        assert line in text.splitlines()


def test_a_stage_that_fails_is_timed_too() -> None:
    metrics = Metrics()
    with pytest.raises(ValueError, match="broken"), metrics.stage("embed"):
        raise ValueError("broken")
    assert metrics.registry.get_sample_value("farnear_stage_seconds_count", {"stage": "embed"}) == 1


def test_a_deleted_collection_is_forgotten_and_the_others_are_not() -> None:
    metrics = Metrics()
    for name in ("a", "b"):
        metrics.items.labels(name).set_function(lambda: 1)
        metrics.cluster_lag.labels(name).set(1)
    metrics.forget("a")
    metrics.forget("a")
    metrics.forget("never there")
    assert metrics.registry.get_sample_value("farnear_items", {"collection": "a"}) is None
    assert metrics.registry.get_sample_value("farnear_cluster_lag_seconds", {"collection": "a"}) is None
    assert metrics.registry.get_sample_value("farnear_items", {"collection": "b"}) == 1


def test_two_servers_in_one_process_count_for_themselves() -> None:
    one, two = Metrics(), Metrics()
    one.requests.labels("/m", "OK").inc()
    assert two.registry.get_sample_value("farnear_requests_total", {"method": "/m", "code": "OK"}) is None
