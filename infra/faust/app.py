"""Makes a Faust app and its agents; each setting here answers something that Faust does otherwise.

Place in the flow: `road` starts what is made here. An agent's body never ends by an exception, because Faust would
acknowledge the batch that failed; it acknowledges by itself, and only what was taken.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Sequence
from typing import Any

import faust
import structlog
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from mode.threads import WorkerThread

from horae.infra.kafka.security import security_of
from horae.infra.settings import Settings
from horae.streams.arrivals import Arrival, Take

#: The shortest that brokers allow by default: a killed worker's partitions are given to others after this.
SESSION_TIMEOUT_S = 6.0
_HEARTBEAT_S = 1.0
#: How long the group waits for a member to join again when it is rearranged; one that is slower is left out.
_REBALANCE_S = 10.0
_REQUEST_S = 10.0
#: What was taken since the last commit comes again after a rearrangement.
_COMMIT_EVERY_S = 1.0
#: Partitions that are added are found after this; until then what lies on them is read from the event store.
_PARTITIONS_FOUND_S = 5.0
#: Arrivals that Faust holds for an agent, beside what the agent holds itself.
_BUFFER = 4_096
#: While records keep coming a batch waits so long for more: one transaction for many costs much less than one for each.
#: Kafka's own consumer gives them in handfuls, and a single one after a pause waits for nobody.
_LINGER_S = 0.02

_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 5.0

_log = structlog.get_logger(__name__)
_faust_log = logging.getLogger("faust.consumer")


class _Thread(WorkerThread):
    """A consumer's thread that the end of the process need not wait for."""

    def __init__(self, service: Any, **options: Any) -> None:
        super().__init__(service, **options)
        self.daemon = True

    def stop(self) -> None:
        """Nothing: the library would block the loop here until the thread has ended."""


class _ConsumerThread(AIOKafkaConsumerThread):
    """Ends with a line in our log and not with a page on standard error."""

    Worker = _Thread
    logger = _faust_log

    def on_crash(self, msg: str, *fmt: Any, **_: Any) -> None:
        """Logged."""
        _log.warning("consumer_crashed", error=msg.format(*fmt), exc_info=sys.exc_info())


class _Consumer(Consumer):
    """Runs in our thread."""

    logger = _faust_log

    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)


class _Transport(Transport):
    """Consumes with our consumer."""

    Consumer = _Consumer


class _App(faust.App):
    """Keeps nothing on disk."""

    logger = _faust_log

    def _create_directories(self) -> None:
        """None: there are no tables."""


def make_app(settings: Settings, suffix: str = "") -> faust.App:
    """An app without agents, of the consumer group that the settings name, plus `suffix`. Call it in the running loop.

    It is started once; when it has crashed or stopped, make another. Topics must exist.
    """
    group = settings.kafka_consumer_group + suffix
    brokers = [f"kafka://{broker.strip()}" for broker in settings.kafka_brokers.split(",")]
    app = _App(
        id=group,
        broker=brokers,
        broker_credentials=security_of(settings).credentials(),
        broker_client_id=f"horae{suffix}",
        autodiscover=False,
        # Bytes as they are: what cannot be decoded must not crash the agent after it was acknowledged.
        key_serializer="raw",
        value_serializer="raw",
        # No tables, no changelogs, no web server, no topics of its own.
        store="memory://",
        table_standby_replicas=0,
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        broker_session_timeout=SESSION_TIMEOUT_S,
        broker_heartbeat_interval=_HEARTBEAT_S,
        broker_rebalance_timeout=_REBALANCE_S,
        broker_request_timeout=_REQUEST_S,
        broker_commit_interval=_COMMIT_EVERY_S,
        consumer_metadata_max_age_ms=round(_PARTITIONS_FOUND_S * 1000),
        # A group that is new or has been away for too long finds duplicates, not a gap.
        consumer_auto_offset_reset="earliest",
        stream_buffer_maxsize=_BUFFER,
        # It has no bound, and collects the whole process's garbage each turn. What is under way may be delivered twice.
        stream_wait_empty=False,
        processing_guarantee="at_least_once",
        # Its own traces and statistics of each message are not looked at.
        loghandlers=[],
    )
    app.transport = _Transport(app.conf.broker_consumer, app)
    return app


def add_log_agent(app: faust.App, topic: str, take: Take, batch_size: int, linger_s: float = _LINGER_S) -> None:
    """Let everything that arrives on `topic` be taken by `take`, in batches of at most `batch_size`, one at a time.

    A batch is whatever has arrived while the one before it was taken. When that one had more than a single record, more
    are waited for, for `linger_s` seconds at most; a record after a pause waits for nobody. What was read and is not
    taken yet (two batches at most) is not acknowledged: it comes again, to whoever has the partition then.
    """

    async def body(stream: Any) -> None:
        # We acknowledge ourselves: Faust would do so for what is being taken when the agent is cancelled, too.
        stream.enable_acks = False
        arrived: asyncio.Queue[Any] = asyncio.Queue(2 * batch_size)
        reading = asyncio.create_task(_read(stream.events(), arrived), name=f"read-{topic}")
        flowing = False
        try:
            while True:
                events = await _next(arrived, reading, batch_size, linger_s if flowing else 0.0)
                flowing = len(events) > 1
                await _taken(take, [arrival_of(event) for event in events])
                for event in events:
                    await stream.ack(event)
        finally:
            reading.cancel()

    app.agent(app.topic(topic), name=f"take-{topic}", concurrency=1)(body)


async def _read(events: AsyncIterator[Any], arrived: asyncio.Queue[Any]) -> None:
    async for event in events:
        await arrived.put(event)


async def _next(arrived: asyncio.Queue[Any], reading: asyncio.Task[None], at_most: int, linger_s: float) -> list[Any]:
    """What has arrived, at least one, and what comes within `linger_s` of it. Raises what ended the reading."""
    if arrived.empty():
        getting = asyncio.ensure_future(arrived.get())
        try:
            await asyncio.wait({getting, reading}, return_when=asyncio.FIRST_COMPLETED)
            if not getting.done():
                reading.result()
                raise asyncio.CancelledError  # the stream ended: we are being stopped
            found = [getting.result()]
        finally:
            getting.cancel()
    else:
        found = [arrived.get_nowait()]
    if linger_s and arrived.qsize() + 1 < at_most:
        await asyncio.sleep(linger_s)
    while len(found) < at_most and not arrived.empty():
        found.append(arrived.get_nowait())
    return found


async def _taken(take: Take, batch: Sequence[Arrival]) -> None:
    """Give the batch until it is taken: to go on without it would lose it, and to end would, too."""
    wait_s = _FIRST_WAIT_S
    while True:
        try:
            await take(batch)
        except Exception:  # noqa: BLE001  whatever it is
            _log.exception("batch_not_taken", topic=batch[0].topic, size=len(batch), wait_s=wait_s)
        else:
            return
        await asyncio.sleep(wait_s)
        wait_s = min(2 * wait_s, _LONGEST_WAIT_S)


def arrival_of(event: Any) -> Arrival:
    """What a Faust event brought."""
    message = event.message
    headers = message.headers
    if isinstance(headers, dict):
        headers = list(headers.items())
    return Arrival(message.topic, message.partition, message.offset, message.key, message.value, headers or ())


def quieten() -> None:
    """Let Faust and what is below it keep to errors of their own; call it after `logging.configure`.

    aiokafka says thirty times a second that the cluster is away, as an error each time; the road says it once.
    """
    for name in ("faust", "mode", "kafka"):
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
