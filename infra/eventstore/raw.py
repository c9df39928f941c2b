"""The notification log as batches of rows that nobody has decoded: the relay passes them on, the subscription decodes.

Place in the flow: log -> *raw subscription* -> relay (stack profile) or `Subscription` (embedded). It lives on one
connection of its own without a thread, and reads only when asked: where the consumer waits, nothing piles up here.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Self

import asyncpg
import structlog

from horae.domain.envelope import StoredEvent
from horae.infra.eventstore.recorder import TABLE
from horae.projections.away import DATABASE_AWAY

_FIRST_WAIT_S = 0.05
_LONGEST_WAIT_S = 1.0
#: A notification that got lost with its connection costs at most this.
_LOOK_AGAIN_S = 5.0
_ANSWER_S = 30.0


_READ = (
    "SELECT notification_id, originator_id, originator_version, shard, topic, state FROM log.events "
    "WHERE notification_id > $1 ORDER BY notification_id LIMIT $2"
)

_log = structlog.get_logger(__name__)


async def read_rows(session: asyncpg.Connection[asyncpg.Record], after: int, limit: int) -> list[StoredEvent]:
    """At most `limit` rows of the log later than `after`, by position."""
    return [StoredEvent(*row) for row in await session.fetch(_READ, after, limit, timeout=_ANSWER_S)]


class RawSubscription:
    """Every row of the log later than `after`, in order, each once: iterate over `async with` it.

    Yields non-empty lists of at most `batch` rows: whatever is there, without waiting for more. A database that is away
    is waited for. An iteration step may be cancelled; nothing is lost by it. One consumer per subscription.
    """

    def __init__(self, dsn: str, after: int = 0, batch: int = 500) -> None:
        self._dsn = dsn
        self._position = after
        self._batch = batch
        self._session: asyncpg.Connection[asyncpg.Record] | None = None
        self._told = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._disconnect()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[StoredEvent]:
        wait_s = _FIRST_WAIT_S
        while True:
            try:
                session = self._session or await self._connect()
                # Cleared before reading: what is committed from now on tells us again.
                self._told.clear()
                rows = await read_rows(session, self._position, self._batch)
            except DATABASE_AWAY as error:
                _log.warning("subscription_interrupted", position=self._position, error=str(error).strip())
                await self._disconnect()
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
                continue
            if rows:
                self._position = rows[-1].position
                return rows
            wait_s = _FIRST_WAIT_S
            # Not `wait_for`: in Python 3.11 it forgets a cancellation that comes together with what it waits for.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_AGAIN_S):
                    await self._told.wait()

    async def _connect(self) -> asyncpg.Connection[asyncpg.Record]:
        session = await asyncpg.connect(
            self._dsn, server_settings={"application_name": "horae-subscription"}, command_timeout=_ANSWER_S
        )
        self._session = session
        session.add_termination_listener(lambda *_: self._told.set())
        # Listening before the first read: nothing falls between the two. The channel is the table's name.
        await session.add_listener(TABLE, lambda *_: self._told.set())
        return session

    async def _disconnect(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            with contextlib.suppress(*DATABASE_AWAY):
                await session.close(timeout=1.0)
