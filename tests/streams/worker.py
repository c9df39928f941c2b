"""A worker for tests: the real log, read models, feed and dispatcher, with a clock and channels in the test's hand."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from prometheus_client import CollectorRegistry

from horae.commands.candidates import Rule, fold, fold_schedule
from horae.commands.occurrences import Occurrences
from horae.domain import occurrence as o
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.channel import Webhook
from horae.domain.delivery import Delivery, Failure
from horae.domain.envelope import Event, Meta, NewEvent
from horae.domain.ids import occurrence_id, recipient_stream, shard_of, uuid7
from horae.domain.personal import Personal
from horae.domain.recipient import RecipientProfile, RecipientSet
from horae.infra.eventstore.store import PostgresEventStore
from horae.projections import schema
from horae.projections.due import ALL_SHARDS
from horae.streams.channels import Channels, Receipt, Release, ReleaseFailed, endpoint_of
from horae.streams.dispatcher import Dispatcher, DispatcherConfig, Peers, PostgresDueSource
from horae.streams.faults import Faults
from horae.streams.feed import Feed
from horae.streams.metrics import Metrics
from horae.streams.stepper import Applying
from tests.fixtures.postgres import Database

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


class HandClock:
    """Stands still until the test moves it, in either direction."""

    def __init__(self, now: datetime = NOON) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def set(self, now: datetime) -> None:
        self._now = now


class RandomIds:
    def new(self) -> UUID:
        random = uuid4().bytes
        return uuid7(int.from_bytes(random[:6], "big"), random[:10])


Answer = Callable[[Release], Awaitable[Receipt]]


@dataclass
class HandChannel:
    """Answers as the test says (by endpoint, else `answer`), and remembers what was released, in order."""

    releases: list[Release] = field(default_factory=list)
    answers: dict[str | None, Answer] = field(default_factory=dict)
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def release(self, release: Release) -> Receipt:
        self.releases.append(release)
        async with self.arrived:
            self.arrived.notify_all()
        answer = self.answers.get(endpoint_of(release.address)) or self.answers.get(None)
        return Receipt({"status_code": 200}) if answer is None else await answer(release)

    async def aclose(self) -> None:
        return

    async def until(self, count: int) -> None:
        """Return when so many releases have come."""
        async with self.arrived:
            await self.arrived.wait_for(lambda: len(self.releases) >= count)


def fails(kind: str = "http", **facts: Any) -> Answer:
    """Always this failure."""

    async def answer(_release: Release) -> Receipt:
        raise ReleaseFailed(Failure(kind=kind, message=kind, **facts))

    return answer


class Worker:
    """One log and one set of read models; dispatchers as many as the test wants."""

    def __init__(self, dsn: str, store: PostgresEventStore, pool: asyncpg.Pool[Any], clock: HandClock) -> None:
        self.store, self.pool, self.clock = store, pool, clock
        self.ids, self.channel = RandomIds(), HandChannel()
        self.occurrences = Occurrences(store, clock, self.ids)
        self.source = PostgresDueSource(pool)
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry)
        self.applying = Applying()
        self.dispatchers: list[Dispatcher] = []
        self.feed = Feed(store, lambda: schema.connect(dsn), [self._on_applied, self.applying.on_applied])
        self._tasks: list[asyncio.Task[None]] = []

    async def _on_applied(self, applied: Any) -> None:
        for dispatcher in self.dispatchers:
            await dispatcher.on_applied(applied)

    def start_feed(self) -> None:
        self._tasks.append(asyncio.create_task(self.feed.run()))

    def dispatcher(
        self,
        owner: int = 1,
        *,
        rules: tuple[Rule, ...] = (),
        shards: Collection[int] = ALL_SHARDS,
        peers: Peers | None = None,
        run: bool = True,
        clock: Any = None,
        faults: Faults | None = None,
        may_claim: Callable[[], bool] = lambda: True,
        **settings: Any,
    ) -> Dispatcher:
        """A dispatcher; running, unless told otherwise."""
        clock = clock or self.clock
        dispatcher = Dispatcher(
            replace(DispatcherConfig(), **settings),
            Occurrences(self.store, clock, self.ids),
            clock,
            self.source,
            Channels(log=self.channel, webhook=self.channel),
            owner,
            metrics=self.metrics,
            rules=rules,
            shards=shards,
            peers=peers,
            faults=faults,
            may_claim=may_claim,
        )
        self.dispatchers.append(dispatcher)
        if run:
            self.run(dispatcher)
        return dispatcher

    def run(self, dispatcher: Dispatcher) -> None:
        self._tasks.append(asyncio.create_task(dispatcher.run()))

    async def stop(self) -> None:
        for dispatcher in self.dispatchers:
            await dispatcher.stop()
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    # --- waiting --------------------------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Return when everything stored is applied and no dispatcher has anything to do at the present instant."""
        while True:
            head = await self.store.head()
            await self.applying.reached(head)
            for dispatcher in self.dispatchers:
                await dispatcher.quiet()
            if head == await self.store.head():
                return

    async def applied(self) -> None:
        """Return when everything stored is applied."""
        await self.applying.reached(await self.store.head())

    async def at(self, now: datetime) -> None:
        """It is `now`; return when that has been dealt with."""
        self.clock.set(now)
        for dispatcher in self.dispatchers:
            dispatcher.wake()
        await self.settle()

    # --- asking ---------------------------------------------------------------------------------------------------

    async def create(
        self,
        timing: t.Timing,
        *,
        recipient: str = "ann",
        tenant: str = "acme",
        channel: str = "log:",
        priority: int = 2,
        delivery: Delivery | None = None,
        expires_after: timedelta | None = None,
        content: dict[str, Any] | None = None,
        recipient_zone: str | None = None,
    ) -> UUID:
        """Store a schedule; its id."""
        schedule = self.ids.new()
        body = s.create(
            s.Create(
                schedule=schedule,
                recipient_ref=f"ref-{recipient}",
                personal=Personal(recipient=recipient, channel=channel, content=content or {"subject": "Hi"}),
                timing=timing,
                context=t.Context(now=self.clock.now(), schedule_id=schedule, recipient_zone=recipient_zone),
                priority=priority,
                delivery=delivery or Delivery(),
                expires_after=expires_after,
            )
        )
        await self.store.append([self._event(schedule, 1, body, tenant, recipient)])
        return schedule

    async def ask(self, schedule: UUID, command: Callable[[s.Schedule], s.Command]) -> None:
        """Decide on a schedule and store what follows."""
        history = await self.store.load(schedule)
        state = fold_schedule(history)
        meta = history[0].meta
        bodies = s.decide(command(state), state)
        recipient = state.personal.recipient
        events = [
            self._event(schedule, state.version + i, body, meta.tenant, recipient) for i, body in enumerate(bodies, 1)
        ]
        await self.store.append(events)

    async def cancel(self, schedule: UUID) -> None:
        await self.ask(schedule, lambda _: s.Cancel())

    async def pause(self, schedule: UUID) -> None:
        await self.ask(schedule, lambda _: s.Pause())

    async def resume(self, schedule: UUID) -> None:
        await self.ask(
            schedule, lambda state: s.Resume(context=self.context(state), current=s.Current(next=state.next))
        )

    async def trigger(self, schedule: UUID) -> None:
        await self.ask(schedule, lambda state: s.Trigger(trigger=self.ids.new(), context=self.context(state)))

    async def know(self, recipient: str, zone: str, *, tenant: str = "acme", version: int = 1) -> None:
        """Store a recipient's zone."""
        body = RecipientSet(recipient_ref=f"ref-{recipient}", personal=RecipientProfile(id=recipient, zone=zone))
        await self.store.append([self._event(recipient_stream(tenant, recipient), version, body, tenant, recipient)])

    def context(self, state: s.Schedule) -> t.Context:
        return state.context(self.clock.now(), default_zone="UTC", recipient_zone=None)

    def _event(self, stream: UUID, version: int, body: Event, tenant: str, recipient: str) -> NewEvent:
        meta = Meta(
            event_id=self.ids.new(),
            tenant=tenant,
            shard=shard_of(tenant, recipient),
            actor="test",
            recorded_at=self.clock.now(),
        )
        return NewEvent(stream, version, meta, body)

    # --- looking --------------------------------------------------------------------------------------------------

    async def story(self, occurrence: UUID) -> list[str]:
        """The names of the events of an occurrence, without "occurrence." and version; ends with their outcome."""
        names = []
        for event in await self.store.load(occurrence):
            name = event.body.name.split(".")[1]
            body = event.body
            names.append(f"{name}:{body.outcome}" if isinstance(body, o.OccurrenceEnded) else name)
        return names

    async def bodies(self, occurrence: UUID) -> list[Any]:
        return [event.body for event in await self.store.load(occurrence)]

    async def state(self, occurrence: UUID) -> o.Occurrence:
        state = fold(await self.store.load(occurrence))
        assert state is not None
        return state

    async def slots(self, schedule: UUID) -> list[tuple[datetime, str]]:
        """The schedule's occurrences on record, by slot, with their status."""
        rows = await self.pool.fetch(
            "SELECT slot, status FROM occurrences WHERE schedule = $1 ORDER BY slot, fold", schedule
        )
        return [(row["slot"], row["status"]) for row in rows]


def at(instant: datetime) -> t.Timing:
    """Once, at that instant."""
    return t.At(at=instant)


def one_off(schedule: UUID, instant: datetime) -> UUID:
    """The id of the occurrence of `at(instant)`."""
    return occurrence_id(schedule, instant.replace(tzinfo=None), 0)


def hook(host: str) -> str:
    return f"webhook:https://{host}/hook"


def host_of(release: Release) -> str:
    assert isinstance(release.address, Webhook)
    return release.address.url.split("/")[2]


@asynccontextmanager
async def worker_on(database: Database, now: datetime = NOON, *, feeding: bool = True) -> AsyncIterator[Worker]:
    """A worker on a fresh database, with its feed running (unless told otherwise) and no dispatcher yet."""
    conn = await schema.connect(database.owner_dsn)
    await schema.install(conn)
    await conn.close()
    pool = await schema.create_pool(database.owner_dsn, max_size=5)
    try:
        async with PostgresEventStore(database.owner_dsn) as store:
            worker = Worker(database.owner_dsn, store, pool, HandClock(now))
            if feeding:
                worker.start_feed()
            try:
                yield worker
            finally:
                await worker.stop()
    finally:
        await pool.close()
