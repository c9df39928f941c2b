"""Reads a topic that others write to, stretch by stretch; an offset is committed when what came of it is on disk.

Place in the flow: `schedule-commands`, `engagement-events` -> *here* -> `streams/commanding.py`, `streams/engaging.py`.
A consumer of its own for each, not a Faust agent: Faust commits what an agent had in hand when it was cancelled or
failed, and an input that is lost so could be healed from nowhere.

A partition that is taken away while a stretch is under way is let go when that stretch is done, within a bound. Beyond
it the stretch is not committed, and whoever has the partition now takes it again, to the same end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import TopicPartition

from horae.infra.kafka.security import security_of
from horae.infra.kafka.topics import ensure_when_there
from horae.infra.settings import Settings
from horae.streams.inputs import Received

#: How long a rebalance waits for the stretch under way.
_LET_GO_S = 10.0
_STOP_S = 2.0
_IDLE_MS = 1_000
_SESSION_MS = 10_000
_WAIT_S = 1.0

log = structlog.get_logger(__name__)


class Taker(Protocol):
    """Does what messages ask for."""

    async def take(self, messages: Sequence[Received]) -> Counter[str]:
        """Return when all of it is on disk, counted by result; what is taken again comes to the same."""
        ...


@dataclass(frozen=True, slots=True)
class Input:
    """What is read of a topic, and how."""

    topic: str
    #: Of the group, behind the installation's own; and in the log.
    name: str
    taker: Taker
    #: What may be taken at once, in the order in which it came.
    stretches: Callable[[Iterable[Received]], Iterator[list[Received]]]
    #: Told how many messages came to which result.
    on_taken: Callable[[str, int], None] = lambda _result, _number: None


class InputConsumer:
    """Reads as one of the group `{kafka_consumer_group}-{name}` until cancelled; outlives the cluster's absence."""

    def __init__(self, settings: Settings, source: Input) -> None:
        self._settings, self._source = settings, source

    async def run(self) -> None:
        """Read for ever; whatever goes wrong, it begins again at what was committed."""
        while True:
            try:
                await ensure_when_there(self._settings)
                await self._read()
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("input_waits", topic=self._source.topic, error=f"{type(error).__name__}: {error}")
            except Exception:
                log.exception("input_cannot_be_read", topic=self._source.topic)
            await asyncio.sleep(_WAIT_S)

    async def _read(self) -> None:
        settings = self._settings
        consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.kafka_brokers,
            **security_of(settings).options(),
            group_id=f"{settings.kafka_consumer_group}-{self._source.name}",
            client_id=f"horae-{self._source.name}",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            # What a producer's transaction took back was never asked for.
            isolation_level="read_committed",
            session_timeout_ms=_SESSION_MS,
            heartbeat_interval_ms=_SESSION_MS // 4,
            metadata_max_age_ms=30_000,
        )
        hold = _Hold()
        try:
            await consumer.start()
            consumer.subscribe([self._source.topic], listener=hold)
            while True:
                found = await consumer.getmany(timeout_ms=_IDLE_MS, max_records=settings.kafka_batch_size)
                await self._take(consumer, hold, [record for records in found.values() for record in records])
        finally:
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(_STOP_S):
                    await consumer.stop()

    async def _take(self, consumer: Any, hold: _Hold, records: Iterable[Any]) -> None:
        """Stretch by stretch; the rest is dropped when partitions are taken away, to be read again by their owner."""
        assignment = hold.assignment
        for run in self._source.stretches(_received(record) for record in records):
            async with hold.busy:
                if hold.leaving or hold.assignment != assignment:
                    return
                counts = await self._source.taker.take(run)
                for result, number in counts.items():
                    self._source.on_taken(result, number)
                if hold.lost or hold.assignment != assignment:
                    return
                ends: dict[TopicPartition, int] = {}
                for message in run:
                    ends[TopicPartition(message.topic, message.partition)] = message.offset + 1
                try:
                    await consumer.commit(ends)
                except (CommitFailedError, IllegalStateError) as error:
                    log.info("input_taken_over", topic=self._source.topic, error=str(error))
                    return


class _Hold(ConsumerRebalanceListener):  # type: ignore[misc]
    """Holds a rebalance up until the stretch under way is committed, within a bound.

    What was read before the newest assignment is dropped: with it reading began again at what was committed. What was
    read since is kept, although the call that read it began before: nobody would read it again.
    """

    def __init__(self) -> None:
        self.busy = asyncio.Lock()
        #: Partitions are being taken away: begin no further stretch of what was read.
        self.leaving = False
        #: They were, before the stretch under way was done: it is not ours to commit any more.
        self.lost = False
        #: How many assignments there were.
        self.assignment = 0

    async def on_partitions_revoked(self, revoked: Any) -> None:
        """Wait for the stretch under way."""
        if not revoked:
            return
        self.leaving = True
        try:
            async with asyncio.timeout(_LET_GO_S), self.busy:
                pass
        except TimeoutError:
            self.lost = True

    async def on_partitions_assigned(self, _assigned: Any) -> None:
        """Reading begins at what was committed."""
        self.assignment += 1
        self.leaving = self.lost = False


def _received(record: Any) -> Received:
    return Received(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp,
        key=record.key,
        value=record.value,
        headers=tuple((name, value if value is not None else b"") for name, value in record.headers),
    )
