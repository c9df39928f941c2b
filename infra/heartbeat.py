"""A working process's sign of life: written by it about once a second, read by the API for readiness and metrics.

Place in the flow: worker, relay, ... -> `sys.heartbeats` -> API, and the other workers (`peers.py`). The row is by the
database's clock, so that the processes need not agree on the time. Every life has a row of its own, which it takes away
when it ends well; what the dead leave the living take away after a while.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg
import structlog

from horae.projections.away import DATABASE_AWAY

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]

EVERY_S = 1.0
#: So long the dead are remembered, for whoever asks how long ago one was heard of.
_REMEMBERED_S = 60.0


_BEAT = """
INSERT INTO sys.heartbeats (incarnation, kind, applied, in_flight, queued, shards, metrics)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (incarnation) DO UPDATE SET beat_at = clock_timestamp(), applied = excluded.applied,
    in_flight = excluded.in_flight, queued = excluded.queued, shards = excluded.shards, metrics = excluded.metrics
"""
# The last word of a kind stays: who looks at it sees its age.
_FORGET = """
DELETE FROM sys.heartbeats AS old WHERE beat_at < clock_timestamp() - make_interval(secs => $1)
AND EXISTS (SELECT FROM sys.heartbeats AS new WHERE new.kind = old.kind AND new.beat_at > old.beat_at)
"""
_END = """
DELETE FROM sys.heartbeats AS ours WHERE incarnation = $1 AND EXISTS (
    SELECT FROM sys.heartbeats AS other WHERE other.kind = ours.kind AND other.incarnation <> ours.incarnation
        AND other.beat_at > clock_timestamp() - make_interval(secs => $2)
)
"""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Beat:
    """How the process stands at this moment."""

    applied: int
    in_flight: int
    queued: int
    #: Its instruments in Prometheus' text format.
    metrics: str
    #: The shards that its partitions give it.
    shards: Collection[int] = ()


async def beat_on(
    pool: Pool,
    incarnation: int,
    measure: Callable[[], Beat],
    kind: str = "worker",
    changed: asyncio.Event | None = None,
) -> None:
    """Write a beat about once a second, and when `changed` is set, until cancelled; a database away is waited for."""
    changed = changed or asyncio.Event()
    try:
        while True:
            changed.clear()
            beat = measure()
            try:
                await pool.execute(
                    _BEAT,
                    incarnation,
                    kind,
                    beat.applied,
                    beat.in_flight,
                    beat.queued,
                    sorted(beat.shards),
                    beat.metrics,
                    timeout=EVERY_S,
                )
                await pool.execute(_FORGET, _REMEMBERED_S, timeout=EVERY_S)
            except DATABASE_AWAY as error:
                _log.warning("heartbeat_missed", error=str(error))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(EVERY_S):
                    await changed.wait()
    finally:
        with contextlib.suppress(*DATABASE_AWAY):
            await asyncio.shield(pool.execute(_END, incarnation, 5 * EVERY_S, timeout=EVERY_S))
