"""The working worker's sign of life: written by it about once a second, read by the API for readiness and metrics.

Place in the flow: worker process -> `sys.heartbeats` -> API. The row is by the database's clock, so that the two
processes need not agree on the time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg
import structlog

if TYPE_CHECKING:
    Pool = asyncpg.Pool[asyncpg.Record]

EVERY_S = 1.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Beat:
    """How the worker stands at this moment."""

    applied: int
    in_flight: int
    queued: int
    #: Its instruments in Prometheus' text format.
    metrics: str


async def beat_on(pool: Pool, incarnation: int, measure: Callable[[], Beat], kind: str = "worker") -> None:
    """Write a beat about once a second until cancelled; a database that is away is waited for.

    `kind`: what beats; of each kind the last beat is kept.
    """
    while True:
        beat = measure()
        try:
            await pool.execute(
                "INSERT INTO sys.heartbeats (kind, incarnation, applied, in_flight, queued, metrics) "
                "VALUES ($6, $1, $2, $3, $4, $5) ON CONFLICT (kind) DO UPDATE SET incarnation = $1, "
                "beat_at = clock_timestamp(), applied = $2, in_flight = $3, queued = $4, metrics = $5",
                incarnation,
                beat.applied,
                beat.in_flight,
                beat.queued,
                beat.metrics,
                kind,
                timeout=EVERY_S,
            )
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
            _log.warning("heartbeat_missed", error=str(error))
        await asyncio.sleep(EVERY_S)
