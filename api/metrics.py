"""What the API counts, in Prometheus' words: one registry per application, so that two of them never clash."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from horae.domain.draft import Draft
from horae.projections.due import Overdue
from horae.projections.queries import StandingCount

_SECONDS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
#: Label values that clients choose are kept to so many; the rest is counted as `other`.
_CLIENT_LABELS = 100
_HEALTH: Final = {"healthy": 1.0, "degraded": 0.5, "unhealthy": 0.0}


class Metrics:
    """The API's instruments. Labels are bounded: routes by their template, clients' words by number."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self._requests = Histogram(
            "http_request_duration_seconds",
            "Time from a request's head to the end of its answer.",
            ("method", "route", "status"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._created = Counter(
            "schedules_created",
            "Schedules created, by metadata.type, priority and the zone named in the timing.",
            ("type", "priority", "timezone"),
            registry=self.registry,
        )
        self.commands = Counter(
            "kafka_commands",
            "Commands taken from Kafka: done or refused, and of the refused those that are dead letters too.",
            ("result",),
            registry=self.registry,
        )
        self.engagements = Counter(
            "kafka_engagements",
            "Reports of engagement taken from Kafka: stored, known already (repeated), or refused and a dead letter.",
            ("result",),
            registry=self.registry,
        )
        self.streams = Gauge("event_streams", "Open /v1/events streams.", registry=self.registry)
        self.lag = Gauge(
            "projection_lag_events", "Events in the log that the read models lack.", registry=self.registry
        )
        self.lag_seconds = Gauge(
            "projection_lag_seconds",
            "For how long the log has been longer than the read models, to the second, as seen since this API's start.",
            registry=self.registry,
        )
        self._components = Gauge(
            "component_health",
            "How each part of the service was at the last look: 1 healthy, 0.5 degraded, 0 unhealthy.",
            ("component",),
            registry=self.registry,
        )
        self._active = Gauge(
            "active_schedules_count",
            "Schedules of all tenants by status and priority.",
            ("status", "priority"),
            registry=self.registry,
        )
        self._waiting = Gauge("due_waiting", "Rows that wait in the due index.", registry=self.registry)
        self._overdue = Gauge("due_overdue", "Rows of them whose instant has come.", registry=self.registry)
        self._by_route: dict[tuple[str, str, int], Histogram] = {}
        self._labels: dict[str, set[str]] = {"type": set(), "timezone": set()}

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request; `status` 0 means that the client left before the answer."""
        # Looking a label's values up by the library costs as much as counting: routes are few and known.
        request = self._by_route.get((method, route, status))
        if request is None:
            request = self._by_route[method, route, status] = self._requests.labels(method, route, str(status))
        request.observe(seconds)

    def created(self, draft: Draft) -> None:
        """Count one created schedule."""
        kind, zone = draft.metadata.get("type", "unknown"), getattr(draft.timing, "zone", None) or "none"
        kind = kind if isinstance(kind, str) else "unknown"
        self._created.labels(self._bounded("type", kind), str(draft.priority), self._bounded("timezone", zone)).inc()

    def standings(self, counts: Sequence[StandingCount]) -> None:
        """How many schedules there are."""
        self._active.clear()
        for count in counts:
            self._active.labels(count.status, str(count.priority)).set(count.schedules)

    def backlog(self, found: Overdue) -> None:
        """How much waits."""
        self._waiting.set(found.waiting)
        self._overdue.set(found.overdue)

    def forget_installation(self) -> None:
        """What was read of the database holds no longer."""
        self._active.clear()
        for gauge in (self._waiting, self._overdue, self.lag, self.lag_seconds):
            gauge.set(float("nan"))

    def components(self, found: Mapping[str, str]) -> None:
        """How each component is; what is no part of the installation is not told."""
        for name, status in found.items():
            if status in _HEALTH:
                self._components.labels(name).set(_HEALTH[status])

    def page(self) -> str:
        """All instruments in Prometheus' text format."""
        return generate_latest(self.registry).decode()

    def _bounded(self, label: str, value: str) -> str:
        known = self._labels[label]
        if value in known:
            return value
        if len(known) >= _CLIENT_LABELS:
            return "other"
        known.add(value)
        return value
