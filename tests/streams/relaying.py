"""The stage for the relay's tests: the real log and seat, any publisher, and words to wait for what was published."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4

from prometheus_client import CollectorRegistry

from horae.domain.envelope import Event, NewEvent
from horae.infra.eventstore import PostgresEventStore
from horae.infra.relaying import RelaySeat
from horae.streams.messages import EventRecord, Mark, Record, read
from horae.streams.relay import Message, Publisher, Relay, RelayConfig, Standing
from horae.streams.relayfaults import RelayFaults
from horae.streams.relaymetrics import RelayMetrics
from horae.streams.topics import Topics
from tests.domain.samples import META, SAMPLES

TOPICS = Topics.named()
BY_NAME: dict[str, Event] = {body.name: body for body in SAMPLES}


def event(shard: int, name: str = "recipient.set.v1", stream: UUID | None = None, version: int = 1) -> NewEvent:
    """A sample event in a shard, by default the first of a stream of its own."""
    meta = META.model_copy(update={"shard": shard, "event_id": uuid4()})
    return NewEvent(stream or uuid4(), version, meta, BY_NAME[name])


class WatchedSeat(RelaySeat):
    """The real seat, which tells when the position moved."""

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn)
        self.position = 0
        self._moved = asyncio.Condition()

    async def move(self, old: Standing, new: Standing) -> None:
        await super().move(old, new)
        async with self._moved:
            self.position = new.position
            self._moved.notify_all()

    async def reached(self, position: int) -> None:
        """Return when the position is there."""
        async with self._moved:
            await self._moved.wait_for(lambda: self.position >= position)


@dataclass
class Stage:
    """One relay between a database and a publisher."""

    dsn: str
    store: PostgresEventStore
    seat: WatchedSeat
    publisher: Publisher
    metrics: RelayMetrics = field(default_factory=lambda: RelayMetrics(CollectorRegistry()))

    async def append(self, *shards: int, name: str = "recipient.set.v1") -> int:
        """An event in each of these shards, each in a stream of its own."""
        position = 0
        for shard in shards:
            position = await self.store.append([event(shard, name)])
        return position

    def relay(self, faults: RelayFaults | None = None, topics: Topics = TOPICS, **config: Any) -> Relay:
        """A relay on this stage; impatient, so that no test waits."""
        told = {"first_wait_s": 0.001, "longest_wait_s": 0.01, "mark_every_s": 3600.0} | config
        config_ = replace(RelayConfig(topics), **told)
        return Relay(config_, self.store, self.seat, self.publisher, self.metrics, faults or RelayFaults())

    @asynccontextmanager
    async def running(self, relay: Relay) -> AsyncIterator[asyncio.Task[None]]:
        """The relay at work; what ended it by itself is raised."""
        task = asyncio.create_task(relay.run())
        try:
            yield task
        finally:
            if task.done():
                task.result()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def relayed(self, position: int, faults: RelayFaults | None = None, **config: Any) -> Relay:
        """Run a relay until the position is reached."""
        relay = self.relay(faults, **config)
        async with self.running(relay) as task:
            reached = asyncio.create_task(self.seat.reached(position))
            await asyncio.wait({reached, task}, return_when=asyncio.FIRST_COMPLETED)
            reached.cancel()
        return relay


@asynccontextmanager
async def stage_on(dsn: str, publisher: Publisher) -> AsyncIterator[Stage]:
    """A stage whose seat is taken."""
    async with PostgresEventStore(dsn) as store, WatchedSeat(dsn) as seat:
        await seat.take()
        yield Stage(dsn, store, seat, publisher)


def records(messages: Iterable[Message]) -> list[Record]:
    """What the messages of `horae-log` say."""
    return [read(message.headers, message.value) for message in messages]


def events(partitions: Iterable[Iterable[Message]]) -> list[EventRecord]:
    """The events on all partitions, by position; repeats stay."""
    found = [record for messages in partitions for record in records(messages) if isinstance(record, EventRecord)]
    return sorted(found, key=lambda record: record.position)


def marks(messages: Iterable[Message]) -> list[Mark]:
    """The marks among them."""
    return [record for record in records(messages) if isinstance(record, Mark)]
