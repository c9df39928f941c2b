"""What the relay counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram


class RelayMetrics:
    """One set per registry."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.position = Gauge("horae_relay_position", "Everything up to here is in Kafka.", registry=registry)
        self.lag = Gauge("horae_relay_lag_positions", "Events of the log that are not in Kafka yet.", registry=registry)
        self.lag_s = Gauge(
            "horae_relay_lag_seconds", "For how long the oldest of them has been seen waiting.", registry=registry
        )
        self.batch = Histogram(
            "horae_relay_batch_size",
            "Events published and acknowledged together.",
            buckets=(1, 2, 5, 10, 25, 50, 100, 250, 500, 1000),
            registry=registry,
        )
        self.seconds = Histogram(
            "horae_relay_batch_seconds",
            "From reading a batch to its acknowledged position, absences of Kafka included.",
            buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30),
            registry=registry,
        )
        self.published = Counter(
            "horae_relay_published_records", "Records acknowledged, by kind.", ("kind",), registry=registry
        )
        self.errors = Counter(
            "horae_relay_publish_errors", "Tries that Kafka did not acknowledge; each was repeated.", registry=registry
        )
        self.left_out = Counter(
            "horae_relay_left_out_events",
            "Events that could not be published: too large, or unreadable for a public copy.",
            ("kind",),
            registry=registry,
        )
