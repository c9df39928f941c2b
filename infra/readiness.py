"""Whether the worker works, as the API's /readyz and /metrics tell it.

Place in the flow: worker process -> `sys.heartbeats` -> *here* -> API.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from horae.api.services import Health
from horae.projections.progress import Progress

if TYPE_CHECKING:
    import asyncpg

    Pool = asyncpg.Pool[asyncpg.Record]

#: Silence after which a worker counts as gone: a few missed beats.
SILENCE_S = 5.0


def executor_check(pool: Pool) -> Callable[[], Awaitable[Health]]:
    """The readiness check of the worker: healthy while it beats."""

    async def check() -> Health:
        began = time.perf_counter()
        row = await pool.fetchrow(
            "SELECT extract(epoch FROM clock_timestamp() - beat_at)::float8 AS age_s, incarnation, applied, in_flight, "
            "queued FROM sys.heartbeats WHERE kind = 'worker'"
        )
        response_ms = (time.perf_counter() - began) * 1000
        if row is None:
            return Health("unhealthy", response_ms, error="no worker has begun to work yet")
        details = {
            "incarnation": row["incarnation"],
            "position": row["applied"],
            "in_flight": row["in_flight"],
            "queued": row["queued"],
        }
        if row["age_s"] > SILENCE_S:
            return Health("unhealthy", response_ms, details, f"the worker has said nothing for {row['age_s']:.0f} s")
        return Health("healthy", response_ms, details)

    return check


def caught_up_check(progress: Progress, head_at_start: int) -> Callable[[], Awaitable[Health]]:
    """The readiness check of a start: keys and schedules seem missing until what was in the log then is read."""

    async def check() -> Health:
        details = {"applied": progress.applied, "needed": head_at_start}
        if progress.applied < head_at_start:
            return Health("unhealthy", None, details, "the read models are not yet where the log was at the start")
        return Health("healthy", None, details)

    return check


async def worker_metrics(pool: Pool) -> str:
    """The instruments of whatever beats (worker, relay, …) as of its last beat, and how old each kind's youngest is.

    A process that died keeps its last word here, so who reads it must look at its age too.
    """
    rows = await pool.fetch(
        "SELECT kind, metrics, extract(epoch FROM clock_timestamp() - beat_at)::float8 AS age_s FROM sys.heartbeats"
    )
    registry = CollectorRegistry()
    age = Gauge(
        "horae_heartbeat_age_seconds", "Since the last sign of life of a kind of process.", ("kind",), registry=registry
    )
    youngest: dict[str, float] = {}
    for row in rows:
        youngest[row["kind"]] = min(row["age_s"], youngest.get(row["kind"], row["age_s"]))
    for kind, age_s in youngest.items():
        age.labels(kind).set(age_s)
    return "".join(row["metrics"] for row in rows) + generate_latest(registry).decode()
