"""Reads `schedule-commands` and hands it on, stretch by stretch; an offset is committed when the replies are on disk.

Place in the flow: topic -> *here* -> `streams/commanding.py`, in the API's process, behind the API's own door. A
consumer of its own, not a Faust agent: Faust commits what an agent had in hand when it was cancelled or failed, and a
command that is lost so could be healed from nowhere.

A partition that is taken away while a stretch is under way is let go when that stretch is done, within a bound. Beyond
it the stretch is not committed, and whoever has the partition now carries it out again, to the same answers.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import TopicPartition
from fastapi import FastAPI
from starlette.types import ASGIApp, Message

from horae.infra.kafka.publisher import KafkaPublisher
from horae.infra.kafka.security import security_of
from horae.infra.kafka.topics import ensure_when_there, topics_of
from horae.infra.settings import Settings
from horae.streams.commanding import Commanding, Door, Received, Request, Response, runs

#: How long a rebalance waits for the stretch under way.
_LET_GO_S = 10.0
_STOP_S = 2.0
_IDLE_MS = 1_000
_SESSION_MS = 10_000
_WAIT_S = 1.0

log = structlog.get_logger(__name__)


async def serve(app: FastAPI, settings: Settings) -> None:
    """Carry out what comes by `schedule-commands`, until cancelled. `app`: the API, whose services are open."""
    counter = app.state.metrics.commands
    security = security_of(settings)
    async with KafkaPublisher(settings.kafka_brokers, "horae-command-replies", security=security) as publisher:
        commanding = Commanding(in_process(app), publisher, topics_of(settings), key_header=settings.api_key_header)
        await CommandConsumer(settings, commanding, lambda result, number: counter.labels(result).inc(number)).run()


class CommandConsumer:
    """Reads as one of the group `{kafka_consumer_group}-commands` until cancelled; outlives the cluster's absence."""

    def __init__(
        self,
        settings: Settings,
        commanding: Commanding,
        on_taken: Callable[[str, int], None] = lambda _result, _number: None,
    ) -> None:
        """`on_taken` is told how many commands came to which result."""
        self._settings, self._commanding, self._on_taken = settings, commanding, on_taken
        self._topic = topics_of(settings).commands

    async def run(self) -> None:
        """Read for ever; whatever goes wrong, it begins again at what was committed."""
        while True:
            try:
                await ensure_when_there(self._settings)
                await self._read()
            except (KafkaError, OSError, TimeoutError) as error:
                log.warning("commands_wait", error=f"{type(error).__name__}: {error}")
            except Exception:
                log.exception("commands_cannot_be_read")
            await asyncio.sleep(_WAIT_S)

    async def _read(self) -> None:
        settings = self._settings
        consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.kafka_brokers,
            **security_of(settings).options(),
            group_id=f"{settings.kafka_consumer_group}-commands",
            client_id="horae-commands",
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
            consumer.subscribe([self._topic], listener=hold)
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
        for run in runs(_received(record) for record in records):
            async with hold.busy:
                if hold.leaving or hold.assignment != assignment:
                    return
                counts = await self._commanding.take(run)
                for result, number in counts.items():
                    self._on_taken(result, number)
                if hold.lost or hold.assignment != assignment:
                    return
                ends: dict[TopicPartition, int] = {}
                for message in run:
                    ends[TopicPartition(message.topic, message.partition)] = message.offset + 1
                try:
                    await consumer.commit(ends)
                except (CommitFailedError, IllegalStateError) as error:
                    log.info("commands_taken_over", error=str(error))
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


def in_process(app: ASGIApp) -> Door:
    """The application as a door: a request to it without a socket, a client or a server."""

    async def door(request: Request) -> Response:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": "http",
            "path": request.path,
            "raw_path": request.path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [
                (b"host", b"horae"),
                (b"content-length", b"%d" % len(request.body)),
                *((name.encode(), value.encode()) for name, value in request.headers),
            ],
            "client": None,
            "server": None,
        }
        answered: list[Message] = []
        asked = False

        async def receive() -> Message:
            nonlocal asked
            if asked:
                return {"type": "http.disconnect"}
            asked = True
            return {"type": "http.request", "body": request.body, "more_body": False}

        async def send(message: Message) -> None:
            answered.append(message)

        await app(scope, receive, send)
        start = next(message for message in answered if message["type"] == "http.response.start")
        headers = {name.lower(): value for name, value in start["headers"]}
        retry_after = headers.get(b"retry-after", b"")
        return Response(
            status=start["status"],
            body=b"".join(message.get("body", b"") for message in answered),
            retry_after_s=float(retry_after) if retry_after.isdigit() else None,
        )

    return door


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
