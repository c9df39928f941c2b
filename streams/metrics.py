"""What the dispatcher, recovery and auditor count, for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from typing import Final, Protocol
from uuid import UUID

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

#: The catalogue's buckets, extended to the longest that an execution may take.
EXECUTION_BUCKETS = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)
LATENESS_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600, 3600)


class Metrics:
    """One set per registry; labels are closed sets (no tenant, endpoint or recipient among them)."""

    def __init__(self, registry: CollectorRegistry = REGISTRY, monotonic: Callable[[], float] = time.monotonic) -> None:
        """`monotonic` gives seconds."""
        self._monotonic, self._audited_at = monotonic, monotonic()
        self.execution = Histogram(
            "schedule_execution_duration_seconds",
            "Duration of one attempt, by its result and the kind of timing.",
            ("status", "type"),
            buckets=EXECUTION_BUCKETS,
            registry=registry,
        )
        self.lateness = Histogram(
            "horae_release_lateness_seconds",
            "From the due instant to the start of the first attempt.",
            buckets=LATENESS_BUCKETS,
            registry=registry,
        )
        self.batch = Histogram(
            "horae_dispatch_batch_size",
            "Due rows that were planned together.",
            buckets=(1, 2, 5, 10, 25, 50, 100, 250, 500, 1000),
            registry=registry,
        )
        self.in_flight = Gauge("horae_in_flight", "Attempts under way.", registry=registry)
        self.waiting = Gauge(
            "horae_waiting", "Due and unclaimed: no free send slot, or not reached yet.", ("where",), registry=registry
        )
        self.in_memory = Gauge("horae_due_rows_in_memory", "Due rows within the horizon.", registry=registry)
        self.stale = Counter("horae_stale_due_rows", "Due rows that turned out to be out of date.", registry=registry)
        self.unplannable = Counter(
            "horae_unplannable_due_rows",
            "Due rows that could not be planned and were set aside: the log says why, the auditor names the slot.",
            registry=registry,
        )
        self.settled = Counter(
            "horae_unclaimed_settled", "Slots that ended or moved on without a claim.", ("kind",), registry=registry
        )
        self.missed = Counter("horae_missed_slots", "Slots that were not claimed in time.", registry=registry)
        self.breakers_open = Gauge("horae_breakers_open", "Endpoints whose circuit breaker is open.", registry=registry)
        self.breaker_changes = Counter(
            "horae_breaker_changes", "Changes of circuit breakers.", ("state",), registry=registry
        )
        self.recovered = Counter(
            "horae_recovered_attempts", "Attempts taken over from dead workers.", registry=registry
        )
        self.silent = Gauge(
            "horae_silent_slots", "Slots that should have ended and have not, at the last audit.", registry=registry
        )
        self.audit_age = Gauge(
            "horae_audit_age_seconds",
            "Since this worker last brought an audit to its end, or began to work: one audits, so the smallest counts.",
            registry=registry,
        )
        self.audit_age.set_function(lambda: self._monotonic() - self._audited_at)
        self.alarms = Counter("horae_auditor_alarms", "Silent slots found, each counted once.", registry=registry)
        self.calendar_refreshes = Counter(
            "horae_calendar_refreshes",
            "Looks at files that calendars subscribe to: changed, unchanged or failed.",
            ("result",),
            registry=registry,
        )
        self.failing_calendars = Gauge(
            "horae_failing_calendars",
            "Calendars whose subscription failed at the last look: they keep the last good days.",
            registry=registry,
        )
        self.accuracy = Gauge(
            "optimization_accuracy_ratio",
            "How much of the gain that chosen send times foretold has come true, 0 to 1, when the present models were "
            "fitted: mean over tenants by people. Told by the worker that learns; 1 until answers say otherwise.",
            ("model_version", "segment"),
            registry=registry,
        )
        self.ended = Counter(
            "horae_occurrences_ended",
            "Occurrences that this worker ended, by outcome; dead_lettered and unknown are the dead letters.",
            ("outcome",),
            registry=registry,
        )
        self.feeds = FeedFigures(registry)

    def audited(self) -> None:
        """An audit has come to its end."""
        self._audited_at = self._monotonic()

    def count_ended(self, outcome: str) -> None:
        """An occurrence's outcome is stored."""
        self.ended.labels(outcome).inc()


class Watched(Protocol):
    """A feed: `streams.feed.Feed` or `streams.shardfeed.ShardFeed`."""

    @property
    def counts(self) -> object:
        """Numbers since it was made, by the names of `FEED_COUNTS`; what it does not count is left out."""
        ...

    @property
    def parked(self) -> Collection[UUID]:
        """Families with parked events."""
        ...

    @property
    def position(self) -> int:
        """Everything up to here is applied."""
        ...


class FeedFigures(Collector):
    """What feeds count by themselves, read when somebody asks: applying a batch pays nothing for it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._feeds: dict[str, Watched] = {}
        self._rebalances: Callable[[], int] = lambda: 0
        self._directly: Callable[[], int] = lambda: 0
        registry.register(self)

    def watch(
        self,
        road: str,
        feed: Watched,
        rebalances: Callable[[], int] | None = None,
        directly: Callable[[], int] | None = None,
    ) -> None:
        """Tell of this feed as `road`: "kafka", or "log" for one that reads the event store.

        `rebalances`: how often the group that the feed belongs to was rearranged; `directly`: how many of its shards it
        reads from the event store at present, because Kafka is silent about them.
        """
        self._feeds[road] = feed
        self._rebalances = rebalances or self._rebalances
        self._directly = directly or self._directly

    def collect(self) -> Iterator[Metric]:
        """See `Collector`."""
        for name, words in FEED_COUNTS.items():
            counter = CounterMetricFamily(f"horae_feed_{name}", words, labels=("road",))
            for road, feed in self._feeds.items():
                count = getattr(feed.counts, name, None)
                if count is not None:
                    counter.add_metric((road,), count)
            yield counter
        parked = GaugeMetricFamily(
            "horae_parked_families",
            "Streams that stand still behind an event that cannot be applied.",
            labels=("road",),
        )
        position = GaugeMetricFamily(
            "horae_feed_position", "Everything up to here is in the read models, as the feed knows.", labels=("road",)
        )
        for road, feed in self._feeds.items():
            parked.add_metric((road,), len(feed.parked))
            position.add_metric((road,), feed.position)
        yield parked
        yield position
        yield CounterMetricFamily(
            "horae_rebalances",
            "How often Kafka divided its partitions among the workers anew.",
            value=self._rebalances(),
        )
        yield GaugeMetricFamily(
            "horae_shards_fed_directly",
            "Shards that are read from the event store, because no word of them comes by Kafka.",
            value=self._directly(),
        )


FEED_COUNTS: Final = {
    "events": "Events applied to the read models.",
    "healed": "Of these, those that were read from the event store because no record had brought them.",
    "parked": "Events set aside because they could not be applied, or because they come behind one.",
    "duplicates": "Records of events that were applied already, and skipped.",
    "gaps_healed": "Times that a shard's missing events were read from the event store.",
    "unreadable": "Records that were none.",
    "moved": "Times that another feeder had moved a shard meanwhile.",
    "interruptions": "Tries that were repeated after trouble with the machine.",
    "restarts": "Times that the feed began anew after trouble.",
}
