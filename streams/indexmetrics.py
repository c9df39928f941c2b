"""The indexer's figures, for Prometheus.

Place in the flow: indexer -> *figures* -> its beat -> /metrics of the API.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from horae.streams.indexing import IndexerCounts

_COUNTERS = {
    "events": "Events whose documents were indexed.",
    "documents": "Documents put into the search engine.",
    "duplicates": "Records of events that were indexed already.",
    "let_go": "Batches that were let go, to be read from the store.",
    "failures": "Attempts to index that failed: the engine or the database was away.",
    "filled": "How often the indices were filled anew from the read models.",
}


class IndexerMetrics(Collector):
    """Reads the counts at each scrape. `position`: everything up to there can be found; `failing`: it cannot go on."""

    def __init__(
        self,
        registry: CollectorRegistry,
        counts: IndexerCounts | None = None,
        position: Callable[[], int] = lambda: 0,
        failing: Callable[[], bool] = lambda: False,
    ) -> None:
        self._counts, self._position, self._failing = counts or IndexerCounts(), position, failing
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """At each scrape."""
        for name, text in _COUNTERS.items():
            yield CounterMetricFamily(f"horae_search_{name}", text, value=getattr(self._counts, name))
        yield GaugeMetricFamily("horae_search_position", "Everything up to here can be found.", value=self._position())
        yield GaugeMetricFamily(
            "horae_search_failing", "1: the search engine or the database is away.", value=int(self._failing())
        )
