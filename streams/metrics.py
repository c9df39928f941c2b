"""What the dispatcher, recovery and auditor count, for Prometheus."""

from __future__ import annotations

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

#: The catalogue's buckets, extended to the longest that an execution may take.
EXECUTION_BUCKETS = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300)
LATENESS_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600, 3600)


class Metrics:
    """One set per registry; labels are closed sets (no tenant, endpoint or recipient among them)."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
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
        self.alarms = Counter("horae_auditor_alarms", "Silent slots found, each counted once.", registry=registry)
