"""A worker's life, as the database sees it: one session that holds its advisory locks.

Place in the flow: opened by the worker process. Claims name the incarnation; recovery takes over the claims of those
whose lock nobody holds any more. The same session holds the feeder's lock: of several workers the one that has it
works, the others wait for it and take over at once when it is released.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Collection
from datetime import datetime

import asyncpg
import structlog

from horae.infra import locks
from horae.projections.away import DATABASE_AWAY

#: Class of the locks on incarnations; the object is the low 32 bits of the incarnation's id.
INCARNATION_LOCKS = 7301
#: The one lock of whoever feeds the read models and dispatches.
FEEDER_LOCKS, FEEDER = 7302, 1

_RECONNECT_S = 0.2
_CHECK_S = 5.0


_log = structlog.get_logger(__name__)


class Incarnation:
    """One worker's id and locks. Use as an async context manager; then `lead`, `keep`.

    When PostgreSQL restarts, the session and its locks are gone: `keep` takes them again under the same id, because the
    work goes on; it ends only when another worker has become the feeder meanwhile. With `alone` False nobody leads: all
    work, each under its own id.
    """

    def __init__(self, dsn: str, *, alone: bool = True) -> None:
        self._dsn, self._alone = dsn, alone
        self._session: asyncpg.Connection[asyncpg.Record] | None = None
        self._ended = asyncio.Event()
        self.id = 0

    async def __aenter__(self) -> Incarnation:
        session = await self._connect()
        self.id = await session.fetchval(
            "INSERT INTO sys.incarnations (kind, pid) VALUES ('worker', $1) RETURNING id", os.getpid()
        )
        await self._lock_ourselves(session)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            with contextlib.suppress(*DATABASE_AWAY):
                await self._session.close(timeout=1.0)

    @property
    def holds(self) -> bool:
        """Whether our session, and with it our locks, is there as far as we know."""
        return self._session is not None and not self._session.is_closed()

    async def lead(self) -> None:
        """Return when we are the feeder; may wait for as long as another worker lives."""
        while True:
            try:
                session = self._session
                if session is None or session.is_closed():
                    session = await self._connect()
                    await self._lock_ourselves(session)
                await locks.wait_for(session, FEEDER_LOCKS, FEEDER)
            except DATABASE_AWAY as error:
                _log.warning("waiting_interrupted", error=str(error))
                await asyncio.sleep(_RECONNECT_S)
            else:
                return

    async def keep(self) -> None:
        """Keep the locks as long as we may; returns when another worker leads."""
        while True:
            await self._until_lost()
            _log.warning("locks_lost", incarnation=self.id)
            while True:
                try:
                    session = await self._connect()
                    await self._lock_ourselves(session)
                    ours = not self._alone or await session.fetchval(
                        "SELECT pg_try_advisory_lock($1, $2)", FEEDER_LOCKS, FEEDER
                    )
                except DATABASE_AWAY:
                    await asyncio.sleep(_RECONNECT_S)
                    continue
                break
            if not ours:
                return
            _log.info("locks_regained", incarnation=self.id)

    async def _connect(self) -> asyncpg.Connection[asyncpg.Record]:
        self._ended = asyncio.Event()
        session = await asyncpg.connect(self._dsn, server_settings={"application_name": "horae-incarnation"})
        ended = self._ended
        session.add_termination_listener(lambda *_: ended.set())
        self._session = session
        return session

    async def _lock_ourselves(self, session: asyncpg.Connection[asyncpg.Record]) -> None:
        # A session that the server has not yet noticed to be gone may hold it a little longer.
        await locks.wait_for(session, INCARNATION_LOCKS, lock_object(self.id))

    async def _until_lost(self) -> None:
        """Ended by the server's word, or found out by asking: a machine that vanished says nothing."""
        session = self._session
        assert session is not None
        while not self._ended.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), _CHECK_S)
                return
            try:
                await session.execute("SELECT 1", timeout=_CHECK_S)
            except DATABASE_AWAY:
                session.terminate()
                return


def lock_object(incarnation: int) -> int:
    """The advisory lock's object, a signed 32-bit number, of an incarnation."""
    low = incarnation & 0xFFFFFFFF
    return low - (1 << 32) if low >= 1 << 31 else low


async def started_at(pool: asyncpg.Pool[asyncpg.Record], incarnations: Collection[int]) -> dict[int, datetime]:
    """When each of them started, by the machine's clock; one that never was is left out."""
    rows = await pool.fetch("SELECT id, started_at FROM sys.incarnations WHERE id = ANY($1::bigint[])", incarnations)
    return {row["id"]: row["started_at"] for row in rows}


class Lives:
    """Knows which incarnations live, by their locks. `pool` reads the database that they are in."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool

    async def gone(self, owners: Collection[int]) -> set[int]:
        """Those of `owners` of which no session holds the lock."""
        rows = await self._pool.fetch(
            "SELECT objid::bigint AS low FROM pg_locks WHERE locktype = 'advisory' AND classid = $1 AND granted "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            INCARNATION_LOCKS,
        )
        living = {int(row["low"]) for row in rows}
        return {owner for owner in owners if owner & 0xFFFFFFFF not in living}
