"""The `kafka:TOPIC` channel: a message per release, on the disks of the brokers before the release counts as taken.

Place in the flow: dispatcher -> *channel* -> topic. One idempotent producer for all topics, started by the first
release. Before a message is handed to it the leader of its partition must be connected: so a broker that is away is
known to be away while nothing can have been sent, and even `at_most_once` may try again.

An idempotent producer of aiokafka repeats a message until it succeeds, for hours if need be. A release that comes out
long after its attempt was given up would surprise everybody: a producer with such a message is thrown away after
`STALE_S`, which is how long after its attempt's end a message can still arrive.
"""

from __future__ import annotations

import asyncio
import contextlib
import json

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidTopicError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.structs import TopicPartition

from horae.commands import tracing
from horae.domain.channel import Kafka
from horae.domain.delivery import Failure
from horae.infra.kafka.letting_go import let_go, unheard
from horae.infra.kafka.security import PLAIN, Security
from horae.streams.channels import Receipt, Release, ReleaseFailed
from horae.streams.publicshape import source_of

STALE_S = 30.0
EVENT_TYPE = "horae.notification.due.v1"
_REQUEST_MS = 10_000
_LET_GO_S = 1.0
#: The share of an attempt's time in which the brokers must be reached; the rest is for their answer.
_REACH = 0.6
_BATCH_BYTES = 256 * 1024
#: What a broker answers to a message that it did not and will not take.
_REFUSALS = (InvalidTopicError, MessageSizeTooLargeError, TopicAuthorizationFailedError)

_log = structlog.get_logger(__name__)
_partition_of = DefaultPartitioner()


class KafkaChannel:
    """Produces to `prefix` + the channel's topic. `topics`: those that releases may go to, without the prefix."""

    def __init__(
        self,
        brokers: str,
        topics: frozenset[str],
        *,
        prefix: str = "",
        security: Security = PLAIN,
        stale_s: float = STALE_S,
    ) -> None:
        self._brokers, self._topics, self._prefix, self._stale_s = brokers, topics, prefix, stale_s
        self._security = security
        self._producer: AIOKafkaProducer | None = None
        self._starting: asyncio.Task[AIOKafkaProducer] | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self._closed = False

    async def release(self, release: Release) -> Receipt:
        """See `Channel.release`: every in-sync replica has the message."""
        assert isinstance(release.address, Kafka)
        if release.address.topic not in self._topics:
            message = f"releases may not go to the topic {release.address.topic} (HORAE_KAFKA_RELEASE_TOPICS)"
            raise _not_sent("channel", message, retryable=False)
        topic, key = self._prefix + release.address.topic, release.recipient.encode()
        try:
            async with asyncio.timeout(release.timeout.total_seconds() * _REACH):
                producer = await self._started()
                partition = await _reach(producer, topic, key)
                value = json.dumps(release.document(), ensure_ascii=False, separators=(",", ":")).encode()
                sent = await producer.send(topic, value, key, partition, headers=headers_of(release))
        except TimeoutError:
            raise _not_sent("timeout", f"no broker of {self._brokers} could be reached in time") from None
        except _REFUSALS as error:
            raise _not_sent("channel", _told(error), retryable=False) from error
        except UnknownTopicOrPartitionError as error:
            raise _not_sent("topic", f"there is no topic {topic}") from error
        except KafkaTimeoutError as error:
            raise _not_sent("io", "more waits for the brokers than the producer holds") from error
        except (KafkaError, OSError) as error:
            # The sender of a producer that met this may have ended: the next release gets a new one.
            self._give_up(self._producer)
            raise _not_sent("connect", _told(error)) from error
        return await self._answered(producer, sent)

    async def aclose(self) -> None:
        """See `Channel.aclose`."""
        self._closed = True
        starting, self._starting = self._starting, None
        if starting is not None:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
        if self._producer is not None:
            # Whoever waits for an answer gets it, if the brokers are there; the rest was given up before.
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(_LET_GO_S):
                    await self._producer.flush()
            self._give_up(self._producer)
        await asyncio.gather(*self._leaving, return_exceptions=True)

    # --- the producer -------------------------------------------------------------------------------------------------

    async def _started(self) -> AIOKafkaProducer:
        """The one producer; whoever comes while it starts waits with the others."""
        if self._closed:
            raise _not_sent("io", "the Kafka channel is closed")
        if self._producer is not None:
            return self._producer
        if self._starting is None:
            self._starting = asyncio.create_task(self._start(), name="kafka-channel-start")
            # Whoever waited may have given up by the time it fails.
            unheard([self._starting])
        return await asyncio.shield(self._starting)

    async def _start(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._brokers,
            client_id="horae-releases",
            acks="all",
            enable_idempotence=True,
            request_timeout_ms=_REQUEST_MS,
            max_batch_size=_BATCH_BYTES,
            **self._security.options(),
        )
        try:
            async with asyncio.timeout(_REQUEST_MS / 1000):
                await producer.start()
        except BaseException:
            await producer.stop()
            raise
        finally:
            self._starting = None
        self._producer = producer
        return producer

    async def _answered(self, producer: AIOKafkaProducer, sent: asyncio.Future[object]) -> Receipt:
        """Wait for the brokers' word on a message that the producer has."""
        try:
            # A cancelled future would not take the message back, only hide what becomes of it.
            metadata = await asyncio.shield(sent)
        except asyncio.CancelledError:
            if not sent.done():
                asyncio.get_running_loop().call_later(self._stale_s, self._give_up_stale, producer, sent)
            raise
        except _REFUSALS as error:
            raise _not_sent("channel", _told(error), retryable=False) from error
        except (KafkaError, OSError) as error:
            self._give_up(producer)
            raise ReleaseFailed(Failure(kind="io", message=_told(error))) from error
        return Receipt({"partition": getattr(metadata, "partition", None), "offset": getattr(metadata, "offset", None)})

    def _give_up_stale(self, producer: AIOKafkaProducer, sent: asyncio.Future[object]) -> None:
        if not sent.done():
            _log.warning("kafka_message_given_up", after_s=self._stale_s)
            self._give_up(producer)

    def _give_up(self, producer: AIOKafkaProducer | None) -> None:
        """Let go of a producer, with whatever it has not got rid of; nobody knows whether that arrived."""
        if producer is None or producer is not self._producer:
            return
        self._producer = None
        task = asyncio.create_task(let_go(producer, _LET_GO_S), name="kafka-channel-end")
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)


def headers_of(release: Release) -> list[tuple[str, bytes]]:
    """What consumers route and recognise repeats by, and the same as CloudEvents (binary mode)."""
    occurrence, due_at = str(release.occurrence), release.due_at.isoformat().replace("+00:00", "Z")
    found = {
        "occurrence-id": occurrence,
        "schedule-id": str(release.schedule),
        "tenant": release.tenant,
        "attempt": str(release.attempt),
        "due-at": due_at,
        "content-type": "application/json",
        "ce_specversion": "1.0",
        # One event however often it is sent: every attempt of an occurrence has the same id.
        "ce_id": occurrence,
        "ce_source": source_of(release.tenant),
        "ce_subject": str(release.schedule),
        "ce_type": EVENT_TYPE,
        "ce_time": due_at,
    }
    if (context := tracing.traceparent()) is not None:
        found["traceparent"] = context
    return [(name, text.encode()) for name, text in found.items()]


async def _reach(producer: AIOKafkaProducer, topic: str, key: bytes) -> int:
    """The key's partition, whose leader is connected. Raises `ReleaseFailed`, `UnknownTopicOrPartitionError`."""
    partitions = sorted(await producer.partitions_for(topic))
    partition: int = _partition_of(key, partitions, partitions)
    client = producer.client
    leader = client.cluster.leader_for_partition(TopicPartition(topic, partition))
    if leader is None or leader < 0 or not await client.ready(leader):
        # Whoever takes over is found before the retry.
        client.force_metadata_update()
        raise _not_sent("connect", f"the leader of {topic}/{partition} cannot be reached")
    return partition


def _not_sent(kind: str, message: str, *, retryable: bool = True) -> ReleaseFailed:
    return ReleaseFailed(Failure(kind=kind, message=message, nothing_arrived=True, retryable=retryable))


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
