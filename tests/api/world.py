"""A world for the API: a real PostgreSQL, the real handlers, and the read models fed within the test's own process."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import httpx
from fastapi import FastAPI

from horae.api.app import create_app
from horae.api.services import ApiSettings, Services
from horae.commands.calendars import Calendars
from horae.commands.context import Call
from horae.commands.engagements import Engagements
from horae.commands.feeds import Feeds
from horae.commands.keys import Keys
from horae.commands.models import Models
from horae.commands.occurrences import Attempt, Occurrences
from horae.commands.recipientmoves import RecipientMoves
from horae.commands.recipients import Recipients
from horae.commands.schedules import Schedules
from horae.commands.subscriptions import Subscriptions
from horae.commands.zonechanges import ZoneChanges
from horae.domain.delivery import Failure
from horae.domain.key import Scope
from horae.infra.calendarsource import HttpCalendarSource
from horae.infra.eventstore import PostgresEventStore
from horae.infra.ids import NewIds
from horae.infra.importing.reading import calendar_entries
from horae.infra.incarnation import started_at
from horae.infra.neighbours import ReadModelNeighbours
from horae.infra.secrets import Refs
from horae.infra.sendtimes import PostgresSendTimes
from horae.infra.standing import ReadModelStanding
from horae.projections.due import load_horizon
from horae.projections.progress import Progress
from horae.projections.schema import connect, create_pool, install
from horae.streams.feed import Feed
from tests.fixtures.postgres import Database

NOW = datetime(2026, 12, 1, 8, 0, tzinfo=UTC)
ACME, GLOBEX = "acme", "globex"
OWNER = 7
LOG_NOW = {"recipient": "user-17", "channel": "log:", "content": {"subject": "Hi"}, "timing": {"kind": "now"}}
DAILY = {
    "recipient": "user-17",
    "channel": "log:",
    "timing": {"kind": "every", "cron": "0 9 * * *", "zone": "Europe/Berlin"},
}


@dataclass
class SettableClock:
    """Stands still until it is set."""

    instant: datetime = NOW

    def now(self) -> datetime:
        return self.instant


@dataclass
class World:
    """The application with everything that it stands on."""

    services: Services
    app: FastAPI
    clock: SettableClock
    #: When keys expire; does not follow `clock`.
    real_clock: SettableClock
    owner_dsn: str
    #: Every tenant's events. The store of `services` is the API's, whose role sees only the tenant that it names.
    every: PostgresEventStore
    #: What a worker does, by `every`.
    worker: Occurrences
    #: The tenant's admin key, and another's.
    key: str
    other_key: str
    client: httpx.AsyncClient = field(init=False)
    other: httpx.AsyncClient = field(init=False)

    def client_for(self, key: str | None, **headers: str) -> httpx.AsyncClient:
        """A client that presents this key."""
        given = {"Authorization": f"Bearer {key}"} if key else {}
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://horae", headers={**given, **headers})

    async def create(self, body: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        """A schedule of the tenant, as the API answers."""
        answer = await self.client.post("/v1/schedules", json={**(body or DAILY), **more})
        assert answer.status_code == 201, answer.text
        shown: dict[str, Any] = answer.json()
        return shown

    async def get(self, path: str, **params: Any) -> dict[str, Any]:
        """The JSON of a GET that goes well, with everything written so far applied."""
        params.setdefault("min_position", await self.services.store.head())
        answer = await self.client.get(path, params=params)
        assert answer.status_code == 200, answer.text
        shown: dict[str, Any] = answer.json()
        return shown

    async def settled(self) -> None:
        """Everything in the log is in the read models."""
        assert await self.services.progress.wait(await self.services.store.head(), 20)

    async def claim_due(self) -> list[Attempt]:
        """What the dispatcher does first: claim everything that is due."""
        await self.settled()
        conn = await connect(self.owner_dsn)
        try:
            rows = await load_horizon(conn, until=self.clock.now())
        finally:
            await conn.close()
        attempts = []
        for candidate in await self.worker.candidates(rows):
            claimed = await self.worker.claim(candidate, OWNER) if candidate else None
            if claimed is not None and isinstance(claimed[1], Attempt):
                attempts.append(claimed[1])
        return attempts

    async def deliver(self, attempt: Attempt) -> None:
        """The channel took it."""
        await self.worker.delivered(attempt, self.clock.now(), 12.5, {"status_code": 204})

    async def fail(self, attempt: Attempt, *, retryable: bool = True) -> None:
        """The channel did not take it."""
        failure = Failure(kind="http", message="the receiver answered 500", status_code=500, retryable=retryable)
        await self.worker.failed(attempt, failure, self.clock.now(), 12.5)

    async def dead_letter(self, body: dict[str, Any] | None = None) -> UUID:
        """An occurrence that ended dead-lettered."""
        await self.create(body or LOG_NOW)
        (attempt,) = await self.claim_due()
        await self.fail(attempt, retryable=False)
        await self.settled()
        return attempt.occurrence.id

    def pass_time(self, **length: float) -> None:
        """Move the service's clock."""
        self.clock.instant += timedelta(**length)


@asynccontextmanager
async def make_world(
    database: Database,
    settings: ApiSettings | None = None,
    feeding: Callable[[PostgresEventStore], Coroutine[Any, Any, None]] | None = None,
    **services: Any,
) -> AsyncIterator[World]:
    """A world on `database`; `services` replace those of the same name, `feeding` the feed of the whole log.

    A `pool` is what commands look into the read models by, too.
    """
    async with AsyncExitStack() as stack:
        owner = await connect(database.owner_dsn)
        await install(owner)
        await owner.close()
        every = await stack.enter_async_context(PostgresEventStore(database.owner_dsn))
        store = await stack.enter_async_context(PostgresEventStore(database.api_dsn))
        whole = Feed(every, lambda: connect(database.owner_dsn))
        feed = asyncio.create_task(feeding(every) if feeding else whole.run())
        stack.push_async_callback(_stop, feed)
        pool = services.get("pool")
        if pool is None:
            pool = await create_pool(database.api_dsn, max_size=8)
            stack.push_async_callback(pool.close)
        progress = Progress(database.api_dsn)
        await progress.start()
        stack.push_async_callback(progress.stop)
        clock, real_clock, ids, refs = SettableClock(), SettableClock(), NewIds(), Refs(b"k" * 32)
        send_times = PostgresSendTimes(pool)
        recipients, standing = Recipients(store, clock, ids, refs), ReadModelStanding(pool, progress, store)
        near = ReadModelNeighbours(pool, progress, refs)
        calendars = Calendars(store, clock, ids, standing)
        source = HttpCalendarSource(allow_private_targets=True)
        built = Services(
            schedules=Schedules(store, clock, ids, refs, standing, standing, near, recipients, send_times=send_times),
            engagements=Engagements(store, clock, ids, refs, recipients),
            send_times=send_times,
            models=Models(store, clock, ids, send_times),
            occurrences=Occurrences(store, clock, ids),
            recipients=recipients,
            calendars=calendars,
            subscriptions=Subscriptions(calendars, clock, real_clock, source, timedelta(seconds=1)),
            recipient_moves=RecipientMoves(store, clock, ids, refs, standing, standing, recipients),
            zone_changes=ZoneChanges(store, clock, ids, standing, standing),
            read_calendar=calendar_entries,
            feeds=Feeds(store, real_clock, ids, refs, secrets.token_bytes),
            keys=Keys(store, real_clock, ids, secrets.token_bytes),
            store=store,
            pool=pool,
            progress=progress,
            clock=clock,
            real_clock=real_clock,
            ids=ids,
            refs=refs,
            settings=settings or ApiSettings(),
            workers_started=partial(started_at, pool),
        )
        built = replace(built, **services)
        keys = [await new_key(built, tenant, Scope.ADMIN) for tenant in (ACME, GLOBEX)]
        worker = Occurrences(every, clock, ids)
        world = World(built, create_app(built), clock, real_clock, database.owner_dsn, every, worker, *keys)
        world.client = await stack.enter_async_context(world.client_for(world.key))
        world.other = await stack.enter_async_context(world.client_for(world.other_key))
        yield world


async def new_key(services: Services, tenant: str, scope: Scope) -> str:
    """The text of a new key, known to the read models."""
    issued = await services.keys.issue(Call(tenant=tenant, actor="cli"), label=f"{tenant}'s", scope=scope)
    assert issued.text is not None
    assert await services.progress.wait(issued.answer.position, 20)
    return issued.text


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
