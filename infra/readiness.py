"""How the processes behind the API are, as its /readyz and /metrics tell it.

Place in the flow: worker, relay, indexer -> `sys.heartbeats` -> *here* -> API. What lies outside of us (Kafka,
Elasticsearch) is asked by `outside`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from horae.api.exposition import labelled, merged
from horae.api.services import Check, Health
from horae.infra.lag import LagWatch
from horae.projections.progress import Progress

if TYPE_CHECKING:
    import asyncpg

    Pool = asyncpg.Pool[asyncpg.Record]

#: Silence after which a process counts as gone: a few missed beats.
SILENCE_S = 5.0
#: After so long a silence its figures are no longer told; only its kind's age is.
FORGOTTEN_S = 60.0
#: So many due and unclaimed occurrences are more than the workers keep up with.
CROWDED = 10_000
#: An event that has waited so long for its way into Kafka waits too long; the alert has the same bound.
RELAY_LAG_S = 10.0
#: A rate is measured over no less.
_RATE_OVER_S = 1.0
_EXECUTED = re.compile(r"^schedule_execution_duration_seconds_count(?:\{[^}]*\})? (\S+)$", re.MULTILINE)

_BEATS = (
    "SELECT kind, incarnation, extract(epoch FROM clock_timestamp() - beat_at)::float8 AS age_s, applied, in_flight, "
    "queued, metrics FROM sys.heartbeats"
)


@dataclass(slots=True)
class _Rate:
    """How fast a sum of counters grows, from one look to the next; a counter that is new counts from now on."""

    _at: float = 0.0
    _counts: dict[int, float] = field(default_factory=dict)
    _rate: float | None = None

    def look(self, counts: dict[int, float], now: float) -> float | None:
        """The rate per second up to now; None: this is the first look."""
        passed = now - self._at
        if self._at and passed < _RATE_OVER_S:
            return self._rate
        if self._at:
            grown = sum(max(0.0, count - self._counts.get(source, count)) for source, count in counts.items())
            self._rate = round(grown / passed, 3)
        self._at, self._counts = now, counts
        return self._rate


def executor_check(pool: Pool) -> Check:
    """The workers: unhealthy when none lives, degraded when more waits than they keep up with."""
    rate = _Rate()

    async def check() -> Health:
        began = time.perf_counter()
        rows = await pool.fetch(f"{_BEATS} WHERE kind = 'worker'")
        response_ms = round((time.perf_counter() - began) * 1000, 3)
        if not rows:
            return Health("unhealthy", response_ms, error="no worker has begun to work yet")
        living = [row for row in rows if row["age_s"] <= SILENCE_S]
        if not living:
            silence_s = min(row["age_s"] for row in rows)
            nothing = {"queueSize": None, "processingRate": 0.0, "activeWorkers": 0}
            return Health("unhealthy", response_ms, nothing, f"no worker has said anything for {silence_s:.0f} s")
        waiting = sum(row["queued"] for row in living)
        details: dict[str, Any] = {
            "queueSize": waiting,
            "processingRate": rate.look({row["incarnation"]: _executed(row["metrics"]) for row in living}, began),
            "activeWorkers": len(living),
            "inFlight": sum(row["in_flight"] for row in living),
            "position": max(row["applied"] for row in living),
            "incarnations": sorted(row["incarnation"] for row in living),
        }
        if waiting >= CROWDED:
            return Health("degraded", response_ms, details, f"{waiting} due occurrences wait to be claimed")
        return Health("healthy", response_ms, details)

    return check


def relay_check(
    pool: Pool, head: Callable[[], Awaitable[int]], *, monotonic: Callable[[], float] = time.monotonic
) -> Check:
    """The relay, by its sign of life and how far the log is published; without it workers read the log themselves.

    Degraded while an event has been seen unpublished for more than `RELAY_LAG_S`. `head`: the log's.
    """
    watch = LagWatch(head, monotonic)

    async def check() -> Health:
        began = time.perf_counter()
        row = await pool.fetchrow(
            "SELECT min(extract(epoch FROM clock_timestamp() - h.beat_at)::float8) AS age_s, "
            "(SELECT position FROM sys.relay) AS position FROM sys.heartbeats AS h WHERE h.kind = 'relay'"
        )
        response_ms = round((time.perf_counter() - began) * 1000, 3)
        position = row["position"] if row is not None and row["position"] is not None else 0
        behind = max(0, await watch.look() - position)
        behind_s = round(watch.seconds(position), 1)
        details = {"position": position, "lag": behind, "lagSeconds": behind_s}
        meanwhile = "workers read the log from PostgreSQL"
        if row is None or row["age_s"] is None:
            return Health("degraded", response_ms, details, f"no relay has begun to work yet; {meanwhile}")
        if row["age_s"] > SILENCE_S:
            silence = f"the relay has said nothing for {row['age_s']:.0f} s"
            return Health("degraded", response_ms, details, f"{silence}; {meanwhile}")
        if behind_s > RELAY_LAG_S:
            late = f"{behind} events are not in Kafka, one of them for {behind_s:.0f} s"
            return Health("degraded", response_ms, details, f"{late}; {meanwhile}")
        return Health("healthy", response_ms, details)

    return check


def caught_up_check(progress: Progress, head_at_start: int) -> Check:
    """The readiness check of a start: keys and schedules seem missing until what was in the log then is read."""

    async def check() -> Health:
        details = {"applied": progress.applied, "needed": head_at_start}
        if progress.applied < head_at_start:
            return Health("unhealthy", None, details, "the read models are not yet where the log was at the start")
        return Health("healthy", None, details)

    return check


def absent_check(instead: str) -> Check:
    """A component that others have and this installation does not; `instead` says what does its work."""

    async def check() -> Health:
        return Health("absent", error=instead)

    return check


async def worker_metrics(pool: Pool) -> str:
    """The instruments of whatever beats (worker, relay, …) as of its last beat, and how old each kind's youngest is.

    Each sample says whose it is: `worker="17"`, `relay="3"`. What has been silent for long is left out, or the dead
    would be added to the living; that nobody renews it is told by its kind's age.
    """
    rows = await pool.fetch(_BEATS)
    registry = CollectorRegistry()
    age = heartbeat_age(registry)
    youngest: dict[str, float] = {}
    for row in rows:
        youngest[row["kind"]] = min(row["age_s"], youngest.get(row["kind"], row["age_s"]))
    for kind, age_s in youngest.items():
        age.labels(kind).set(age_s)
    told = [row for row in rows if row["age_s"] <= FORGOTTEN_S]
    pages = [labelled(row["metrics"], row["kind"], str(row["incarnation"])) for row in told]
    return merged([*pages, generate_latest(registry).decode()])


def heartbeat_age(registry: CollectorRegistry) -> Gauge:
    """How old the youngest word of each kind of process is."""
    return Gauge(
        "horae_heartbeat_age_seconds", "Since the last sign of life of a kind of process.", ("kind",), registry=registry
    )


def _executed(page: str) -> float:
    """How many attempts a worker has made, by its instruments."""
    return sum(float(count) for count in _EXECUTED.findall(page))
