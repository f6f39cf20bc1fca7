"""What the service tells Prometheus: one registry a server, one timer for the stages of the pipeline."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)


class Metrics:
    """The service's own metrics; the names are part of its contract with dashboards and alerts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("farnear_requests_total", "Finished calls.", ["method", "code"], registry=self.registry)
        self.request_seconds = Histogram(
            "farnear_request_seconds", "Time to answer a call.", ["method"], buckets=_SECONDS, registry=self.registry
        )
        self.refused_entries = Counter(
            "farnear_refused_entries_total",
            "Entries of batches that were refused while their neighbours were served.",
            ["reason"],
            registry=self.registry,
        )
        self._stage_seconds = Histogram(
            "farnear_stage_seconds",
            "Time in one stage of the pipeline, a call or batch at a time.",
            ["stage"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.items = Gauge("farnear_items", "Acknowledged items.", ["collection"], registry=self.registry)
        self._queue_length = Gauge("farnear_queue_length", "Images that wait to be embedded.", registry=self.registry)
        self.queue_limit = Gauge(
            "farnear_queue_limit", "Waiting images at which searches are refused.", registry=self.registry
        )
        self.cluster_lag = Gauge(
            "farnear_cluster_lag_seconds",
            "Age of the oldest acknowledged item that is not on the map yet.",
            ["collection"],
            registry=self.registry,
        )
        self.map_drift = Gauge(
            "farnear_map_drift",
            "Share of the newest placed items that lie beyond the reach of what the map was fitted to.",
            ["collection"],
            registry=self.registry,
        )
        self.torch_bytes = Gauge(
            "farnear_torch_bytes",
            "Memory that Torch and the programs of bundles took for heat maps, 0 while none was loaded.",
            registry=self.registry,
        )

    def watch_queue(self, length: Callable[[], int], limit: int) -> None:
        """Reads the queue's length whenever it is asked for."""
        self._queue_length.set_function(length)
        self.queue_limit.set(limit)

    def forget(self, collection: str) -> None:
        """Drops the series of a deleted collection."""
        for gauge in (self.items, self.cluster_lag, self.map_drift):
            gauge.remove_by_labels({"collection": collection})

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Times one stage.

        That is decode, embed, store, search, recommend, explain, index_build, map_fit, map_place or recluster.
        """
        start = time.perf_counter()
        try:
            yield
        finally:
            self._stage_seconds.labels(name).observe(time.perf_counter() - start)
