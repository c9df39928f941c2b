"""Puts the relay together: its one session with PostgreSQL, which holds the lock and moves the position, and the rest.

Place in the flow: relay_process -> `RelaySeat`, `open_relay` -> streams/relay.py. Lock and position share a session on
purpose: a relay whose session is gone cannot move the position, whatever else it still believes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

import asyncpg
import structlog
from prometheus_client import CollectorRegistry, generate_latest

from horae.infra import locks
from horae.infra.eventstore import PostgresEventStore
from horae.infra.heartbeat import Beat
from horae.infra.kafka.publisher import KafkaPublisher
from horae.infra.kafka.security import security_of
from horae.infra.kafka.topics import topics_of
from horae.infra.settings import Settings
from horae.projections.away import DATABASE_AWAY
from horae.streams.relay import Deposed, Relay, RelayConfig, Standing
from horae.streams.relayfaults import RelayFaults
from horae.streams.relaymetrics import RelayMetrics

#: The one lock of whoever publishes the log (`incarnation.py` has the numbers below).
RELAY_LOCKS, RELAY = 7303, 1

_RECONNECT_S = 0.2
_CHECK_S = 5.0
_ANSWER_S = 10.0


_log = structlog.get_logger(__name__)


class RelaySeat:
    """The place of the active relay, and what it knows there: implements `streams.relay.Standings`.

    Use as an async context manager; `take` waits for the place, `until_lost` tells when it is not ours any more.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._session: asyncpg.Connection[asyncpg.Record] | None = None
        self._ended = asyncio.Event()
        # A session answers one question at a time, and refuses a second one meanwhile.
        self._asking = asyncio.Lock()
        #: Which life of a relay process this is.
        self.incarnation = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._leave()

    async def take(self) -> None:
        """Return when the place is ours; may wait for as long as another relay lives. A database away is waited for."""
        while True:
            try:
                session = await self._connect()
                if not self.incarnation:
                    self.incarnation = await session.fetchval(
                        "INSERT INTO sys.incarnations (kind, pid) VALUES ('relay', $1) RETURNING id", os.getpid()
                    )
                await locks.wait_for(session, RELAY_LOCKS, RELAY)
            except DATABASE_AWAY as error:
                _log.warning("waiting_interrupted", error=str(error))
                await self._leave()
                await asyncio.sleep(_RECONNECT_S)
            else:
                return

    async def until_lost(self) -> None:
        """Return when the session is gone: told by the server, or found out by asking when it says nothing."""
        session = self._session
        while session is not None and not self._ended.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), _CHECK_S)
                return
            try:
                async with self._asking:
                    await session.execute("SELECT 1", timeout=_CHECK_S)
            except DATABASE_AWAY:
                session.terminate()
                return

    async def load(self) -> Standing:
        """See `Standings.load`."""
        row = await self._ask("SELECT position, last FROM sys.relay")
        return Standing(row["position"], tuple(row["last"]))

    async def move(self, old: Standing, new: Standing) -> None:
        """See `Standings.move`."""
        await self._ask(
            "UPDATE sys.relay SET position = $2, last = $3, moved_at = clock_timestamp() "
            "WHERE position = $1 RETURNING position",
            old.position,
            new.position,
            list(new.last),
        )

    async def _ask(self, query: str, *args: object) -> asyncpg.Record:
        session = self._session
        if session is None:
            raise Deposed("there is no session")
        try:
            async with self._asking:
                row = await session.fetchrow(query, *args, timeout=_ANSWER_S)
        except DATABASE_AWAY as error:
            raise Deposed(f"the session is gone: {error}") from error
        if row is None:
            raise Deposed("another relay moved the position")
        return row

    async def _connect(self) -> asyncpg.Connection[asyncpg.Record]:
        await self._leave()
        ended = self._ended = asyncio.Event()
        # What a crash of the server takes back is published twice, and nothing else: no need to wait for the disk.
        session = await asyncpg.connect(
            self._dsn, server_settings={"application_name": "horae-relay", "synchronous_commit": "off"}
        )
        session.add_termination_listener(lambda *_: ended.set())
        self._session = session
        return session

    async def _leave(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            with contextlib.suppress(*DATABASE_AWAY):
                await session.close(timeout=1.0)


@dataclass(slots=True)
class Opened:
    """A relay and what watches it."""

    relay: Relay
    registry: CollectorRegistry

    def measure(self) -> Beat:
        """The relay's sign of life: position, nothing in flight that anyone could ask about, what waits."""
        position = self.relay.standing.position
        return Beat(position, 0, max(0, self.relay.head - position), generate_latest(self.registry).decode())


@asynccontextmanager
async def open_relay(settings: Settings, seat: RelaySeat) -> AsyncIterator[Opened]:
    """One term's relay; `settings` have the owner's DSN."""
    registry = CollectorRegistry()
    store = PostgresEventStore(settings.owner_dsn(), readers=1)
    async with store, KafkaPublisher(settings.kafka_brokers, security=security_of(settings)) as publisher:
        yield Opened(
            Relay(
                RelayConfig(topics_of(settings), batch=settings.kafka_batch_size),
                store,
                seat,
                publisher,
                RelayMetrics(registry),
                RelayFaults.from_environment(os.environ),
            ),
            registry,
        )
