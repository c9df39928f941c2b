"""Publishes the log to Kafka: every event to `horae-log`, the public ones to the topics for other services.

Place in the flow: event store -> *relay* -> Kafka -> workers. Of several relays one is active (`infra/relaying.py` sees
to that); what two of them send at once, or one sends again after a crash, are duplicates, which workers skip by
position. A batch counts when every record of it is acknowledged; then the position moves, in PostgreSQL, from the very
value that we found it at: a relay that was deposed meanwhile cannot move it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from horae.commands import tracing
from horae.domain.envelope import StoredEvent
from horae.domain.errors import Unavailable
from horae.domain.ids import SHARDS
from horae.streams.messages import EventRecord, Headers, Mark, partition_of, shards_of
from horae.streams.publicshape import facts_of, public_copy, traceparent_of
from horae.streams.relayfaults import RelayFaults
from horae.streams.relaymetrics import RelayMetrics
from horae.streams.topics import Topics

_log = structlog.get_logger(__name__)


class Undelivered(Exception):
    """Not every message is acknowledged; some may have arrived nevertheless. Publish all of them again."""


class Deposed(Exception):
    """The position is not where we left it, or not ours to move any more: another relay is at work."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is published. `partition` None: by the key, as every Kafka client would choose it."""

    topic: str
    key: bytes
    value: bytes
    headers: Headers
    partition: int | None = None


class Publisher(Protocol):
    """Kafka as the relay needs it. Both raise `Undelivered` while the cluster does not answer; ask again then."""

    async def partitions(self, topic: str) -> int:
        """How many partitions the topic has; partitions that are added while we run are seen within seconds."""
        ...

    async def publish(self, messages: Sequence[Message]) -> None:
        """Return when every message is acknowledged by enough replicas; those of one partition arrive in order."""
        ...


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the log is published: everything up to `position`; `last`: each shard's last position up to there."""

    position: int = 0
    last: tuple[int, ...] = (0,) * SHARDS


class Standings(Protocol):
    """Where the standing lives. Raises `Deposed` when it is not ours to touch any more."""

    async def load(self) -> Standing:
        """The standing as it is stored."""
        ...

    async def move(self, old: Standing, new: Standing) -> None:
        """Store `new` if `old` is what is stored. Raises `Deposed` if it is not."""
        ...


class Log(Protocol):
    """The event store as the relay reads it."""

    def subscribe_raw(
        self, after: int = 0, batch: int = 500
    ) -> AbstractAsyncContextManager[AsyncIterator[list[StoredEvent]]]:
        """Batches of rows later than `after`, each once, in order."""
        ...

    async def head(self) -> int:
        """The last position of the log."""
        ...


@dataclass(frozen=True, slots=True)
class RelayConfig:
    """What may be turned."""

    topics: Topics
    #: Rows read, published and acknowledged together.
    batch: int = 500
    #: A mark goes onto every partition this often, so that workers notice lost ends.
    mark_every_s: float = 1.0
    first_wait_s: float = 0.1
    #: While Kafka is away it is asked this often.
    longest_wait_s: float = 2.0
    #: Kafka's default for one record is 1 MiB. What is larger stays out: workers heal that gap from the event store.
    largest_value: int = 900_000


@dataclass(slots=True)
class Relay:
    """One term of the active relay: `run` until cancelled or deposed."""

    config: RelayConfig
    log: Log
    standings: Standings
    publisher: Publisher
    metrics: RelayMetrics
    faults: RelayFaults = field(default_factory=RelayFaults)
    standing: Standing = field(default_factory=Standing, init=False)
    #: The log's head as of the last look.
    head: int = field(default=0, init=False)
    _partitions: int = field(default=0, init=False)
    _looks: deque[tuple[int, float]] = field(default_factory=deque, init=False)

    async def run(self) -> None:
        """Publish for ever. Raises `Deposed`."""
        loop = asyncio.get_running_loop()
        self.standing = await self.standings.load()
        _log.info("relay_begins", position=self.standing.position)
        async with self.log.subscribe_raw(self.standing.position, self.config.batch) as batches:
            watching = asyncio.create_task(self._watch(), name="relay-watch")
            reading: asyncio.Task[list[StoredEvent]] | None = None
            try:
                await self.mark()
                mark_at = loop.time() + self.config.mark_every_s
                reading = _next(batches)
                while True:
                    await asyncio.wait({reading}, timeout=max(0.0, mark_at - loop.time()))
                    if reading.done():
                        batch = reading.result()
                        reading = _next(batches)  # read the next one while this one is on its way
                        await self.relay(batch)
                    if loop.time() >= mark_at:
                        await self.mark()
                        mark_at = loop.time() + self.config.mark_every_s
            finally:
                for task in (reading, watching):
                    if task is not None:
                        task.cancel()
                        with contextlib.suppress(asyncio.CancelledError):
                            await task

    async def relay(self, batch: Sequence[StoredEvent]) -> None:
        """Publish one batch, however long it takes, then move the position behind it."""
        began = asyncio.get_running_loop().time()
        new, records, copies = self._prepare(batch)
        with tracing.batch("log.relay", lambda: _contexts(records), {"horae.events": len(batch)}):
            await self._publish(lambda partitions: [*self._placed(records, partitions), *copies])
        await self.faults.batch_sent()
        await self.standings.move(self.standing, new)
        self.standing = new
        self.metrics.batch.observe(len(batch))
        self.metrics.seconds.observe(asyncio.get_running_loop().time() - began)
        self.metrics.published.labels("log").inc(len(records))
        self.metrics.published.labels("public").inc(len(copies))
        self.metrics.position.set(new.position)

    async def mark(self) -> None:
        """Tell every partition how far its shards go."""
        await self._publish(self._marks)

    async def look(self) -> None:
        """Measure how far behind the log we are."""
        with contextlib.suppress(Unavailable):
            self.head = await self.log.head()
        self._measure()

    async def _watch(self) -> None:
        """Look each second, above all while Kafka is away."""
        while True:
            await self.look()
            await asyncio.sleep(self.config.mark_every_s)

    def _prepare(self, batch: Sequence[StoredEvent]) -> tuple[Standing, list[EventRecord], list[Message]]:
        last = list(self.standing.last)
        records: list[EventRecord] = []
        copies: list[Message] = []
        for stored in batch:
            facts = facts_of(stored)
            shard = stored.shard
            record = EventRecord(
                stored.position,
                last[shard],
                shard,
                stored.stream,
                stored.version,
                stored.name,
                stored.state,
                traceparent_of(facts),
            )
            last[shard] = stored.position
            if len(stored.state) > self.config.largest_value:
                self._left_out(stored, "log", "it is too large")
                continue
            records.append(record)
            try:
                copy = public_copy(stored, facts, self.config.topics) if facts is not None else None
            except (KeyError, ValueError, AttributeError) as error:
                self._left_out(stored, "public", repr(error))
                continue
            if facts is None:
                self._left_out(stored, "public", "its state cannot be read")
            elif copy is not None:
                copies.append(Message(copy.topic, copy.key, copy.value, copy.headers))
        return Standing(batch[-1].position, tuple(last)), records, copies

    def _placed(self, records: Sequence[EventRecord], partitions: int) -> list[Message]:
        """The records where they belong; a chaos test may lose or double some of them here."""
        topic = self.config.topics.log
        return [
            Message(
                topic,
                str(record.shard).encode(),
                record.state,
                record.headers(),
                partition_of(record.shard, partitions),
            )
            for record in records
            for _ in range(self.faults.copies())
        ]

    def _marks(self, partitions: int) -> list[Message]:
        position, last = self.standing.position, self.standing.last
        messages = []
        for partition in range(partitions):
            mark = Mark(position, {shard: last[shard] for shard in sorted(shards_of([partition], partitions, SHARDS))})
            messages.append(Message(self.config.topics.log, b"mark", mark.value(), mark.headers(), partition))
        return messages

    async def _publish(self, messages: Callable[[int], list[Message]]) -> None:
        """Until everything is acknowledged; the number of partitions is asked for anew each time."""
        wait_s = self.config.first_wait_s
        while True:
            try:
                # Never fewer: a broker that has not heard of new partitions yet does not take them back.
                self._partitions = max(self._partitions, await self.publisher.partitions(self.config.topics.log))
                await self.publisher.publish(messages(self._partitions))
            except Undelivered as error:
                self.metrics.errors.inc()
                _log.warning("kafka_does_not_take_it", position=self.standing.position, error=str(error))
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, self.config.longest_wait_s)
            else:
                return

    def _left_out(self, stored: StoredEvent, where: str, why: str) -> None:
        self.metrics.left_out.labels(where).inc()
        _log.error("event_left_out", topic=where, position=stored.position, name=stored.name, why=why)

    def _measure(self) -> None:
        """Behind in seconds: since when the log has been longer than what is published (a look each second)."""
        now = asyncio.get_running_loop().time()
        self._looks.append((self.head, now))
        while self._looks and self._looks[0][0] <= self.standing.position:
            self._looks.popleft()
        self.metrics.lag.set(max(0, self.head - self.standing.position))
        self.metrics.lag_s.set(now - self._looks[0][1] if self._looks else 0.0)
        while len(self._looks) > _MOST_LOOKS:  # a long absence of Kafka: the oldest look is the one that counts
            del self._looks[1]


_MOST_LOOKS = 4096


def _contexts(records: Sequence[EventRecord]) -> list[str]:
    """Of the traces that they belong to."""
    return [record.traceparent for record in records if record.traceparent is not None]


def _next(batches: AsyncIterator[list[StoredEvent]]) -> asyncio.Task[list[StoredEvent]]:
    async def step() -> list[StoredEvent]:
        return await anext(batches)

    return asyncio.create_task(step(), name="relay-read")
