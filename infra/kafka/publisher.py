"""The relay's way into Kafka: an idempotent producer that is thrown away and made anew whenever it fails.

Place in the flow: relay -> *publisher* -> brokers. Each call is a few large record batches, one for each partition, all
acknowledged by every in-sync replica or none counted. A new producer may send what the old one has sent already; who
reads the records skips those by position, so nothing has to be known about what became of a failed call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Self

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2

from horae.infra.kafka.letting_go import let_go, unheard
from horae.infra.kafka.security import PLAIN, Security
from horae.streams.relay import Message, Undelivered

#: Below the broker's default of 1 MiB for one batch of records.
_LARGEST_BATCH = 950_000
#: A broker that does not answer for so long is given up, and the producer with it.
_REQUEST_S = 10.0
ACKNOWLEDGED_S = 15.0
#: Partitions that are added while we run are seen after this.
_METADATA_MS = 2_000
_LET_GO_S = 2.0

_log = structlog.get_logger(__name__)


class KafkaPublisher:
    """`streams.relay.Publisher` on aiokafka, for one call at a time.

    Use as an async context manager; it connects with the first call.
    """

    def __init__(
        self,
        brokers: str,
        client_id: str = "horae-relay",
        *,
        security: Security = PLAIN,
        acknowledged_s: float = ACKNOWLEDGED_S,
    ) -> None:
        """`acknowledged_s`: what is not acknowledged by then is given up, and the producer with it."""
        self._brokers, self._client_id, self._acknowledged_s = brokers, client_id, acknowledged_s
        self._security = security
        self._producer: Any = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._let_go()

    async def partitions(self, topic: str) -> int:
        """See `Publisher.partitions`."""
        try:
            producer = await self._connected()
            async with asyncio.timeout(_REQUEST_S):
                return len(await producer.partitions_for(topic))
        except (KafkaError, OSError, TimeoutError) as error:
            await self._let_go()
            raise Undelivered(f"{type(error).__name__}: {error}") from error

    async def publish(self, messages: Sequence[Message]) -> None:
        """See `Publisher.publish`."""
        sent: list[asyncio.Future[Any]] = []
        try:
            producer = await self._connected()
            async with asyncio.timeout(self._acknowledged_s):
                await self._send(producer, messages, sent)
                await asyncio.gather(*sent)
        except BaseException as error:
            # Nobody waits for what is still under way, and nobody may go on with this producer.
            unheard(sent)
            await self._let_go()
            if isinstance(error, KafkaError | OSError | TimeoutError):
                raise Undelivered(f"{type(error).__name__}: {error}") from error
            raise

    async def _send(self, producer: Any, messages: Sequence[Message], sent: list[asyncio.Future[Any]]) -> None:
        """Hand everything to the producer: whole batches, because a future for each message costs more than sending.

        Each batch that was handed over has its future in `sent`, also when a later one could not be.
        """
        counts: dict[str, int] = {}
        open_batches: dict[tuple[str, int], Any] = {}
        for message in messages:
            partition = message.partition
            if partition is None:
                if message.topic not in counts:
                    counts[message.topic] = len(await producer.partitions_for(message.topic))
                partition = partition_by_key(message.key, counts[message.topic])
            place = (message.topic, partition)
            batch = open_batches.get(place)
            if batch is None or not _put(batch, message):
                if batch is not None:
                    sent.append(await producer.send_batch(batch, place[0], partition=place[1]))
                batch = open_batches[place] = producer.create_batch()
                _put(batch, message)
        for (topic, partition), batch in open_batches.items():
            batch.close()
            sent.append(await producer.send_batch(batch, topic, partition=partition))

    async def _connected(self) -> Any:
        if self._producer is None:
            producer = AIOKafkaProducer(
                bootstrap_servers=self._brokers,
                client_id=self._client_id,
                enable_idempotence=True,
                acks="all",
                max_batch_size=_LARGEST_BATCH,
                max_request_size=_LARGEST_BATCH,
                request_timeout_ms=round(_REQUEST_S * 1000),
                metadata_max_age_ms=_METADATA_MS,
                **self._security.options(),
                linger_ms=0,  # a call brings whole batches: there is nothing to wait for
            )
            self._producer = producer
            async with asyncio.timeout(_REQUEST_S):
                await producer.start()
        return self._producer

    async def _let_go(self) -> None:
        """Leave the producer without waiting for what it has not sent: that will be sent again by the next one."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await let_go(producer, _LET_GO_S)


def partition_by_key(key: bytes, partitions: int) -> int:
    """Where every Kafka client puts a message of this key: murmur2 of it, without the sign."""
    return _hash(key) % partitions


# The library's is written in Python and costs half as much as all else of a copy; a schedule's events share their key.
@lru_cache(maxsize=16_384)
def _hash(key: bytes) -> int:
    hashed: int = murmur2(key) & 0x7FFFFFFF
    return hashed


def _put(batch: Any, message: Message) -> bool:
    return batch.append(timestamp=None, key=message.key, value=message.value, headers=message.headers) is not None
