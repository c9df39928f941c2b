"""The real publisher against a real broker, which may go away in the middle."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from horae.infra.kafka.publisher import KafkaPublisher
from horae.infra.stack import KafkaServer
from horae.streams.relay import Message, Undelivered
from tests.contracts.publisher import Arrived, PublisherContract, Widen, message
from tests.fixtures.topics import make_topics
from tests.infra.kafka.conftest import lying_on

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]


@pytest.fixture(autouse=True)
async def nothing_unheard() -> AsyncIterator[None]:
    """The loop complains of nothing, such as a failure that nobody has looked at: operators take it for a bug."""
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    yield
    gc.collect()
    assert complaints == []


@pytest.fixture
async def publisher(broker: KafkaServer) -> AsyncIterator[KafkaPublisher]:
    """Connects when it is used."""
    async with KafkaPublisher(broker.bootstrap) as publisher:
        yield publisher


@pytest.fixture
async def topic(broker: KafkaServer, topic_prefix: str) -> str:
    """Four partitions."""
    await make_topics(broker.bootstrap, f"{topic_prefix}log", partitions=4)
    return f"{topic_prefix}log"


@pytest.fixture
def arrived(broker: KafkaServer) -> Arrived:
    """What lies there."""

    async def read(topic: str) -> list[list[Message]]:
        return await lying_on(broker.bootstrap, topic)

    return read


@pytest.fixture
def widen(broker: KafkaServer) -> Widen:
    """More partitions."""

    async def add(topic: str, partitions: int) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
        await admin.start()
        await admin.create_partitions({topic: NewPartitions(partitions)})
        await admin.close()

    return add


class TestKafkaPublisher(PublisherContract):
    """The suite."""


@pytest.mark.covers("REL-13", "REL-16")
async def test_a_broker_that_is_away_is_an_error_that_passes(
    publisher: KafkaPublisher, broker: KafkaServer, topic: str, arrived: Arrived
) -> None:
    """Nothing hangs, and the same publisher goes on when the broker is back."""
    await publisher.publish([message(topic, "k", "before", 0)])
    await asyncio.to_thread(broker.stop)
    with pytest.raises(Undelivered):
        await publisher.publish([message(topic, "k", "during", 0)])
    with pytest.raises(Undelivered):
        await publisher.partitions(topic)
    await asyncio.to_thread(broker.start)
    await publisher.publish([message(topic, "k", "after", 0)])
    values = [told.value for told in (await arrived(topic))[0]]
    assert [value for value in values if value != b"during"] == [b"before", b"after"]


@pytest.mark.parametrize("cut_short", ["while waiting", "while handing over"])
async def test_a_silent_broker_leaves_no_failure_unheard(broker: KafkaServer, topic: str, cut_short: str) -> None:
    """Neither of what waits behind the first request, nor of what was handed over before the rest could not be."""
    begun = [message(topic, "k", "x" * 400_000, 0) for _ in range(4)]
    rest = message(topic if cut_short == "while waiting" else f"{topic}-unknown", "k", "v", 1)
    async with KafkaPublisher(broker.bootstrap, acknowledged_s=2.0) as publisher:
        await publisher.publish([message(topic, "k", "before", 0)])
        os.kill(broker.pid, signal.SIGSTOP)
        try:
            with pytest.raises(Undelivered):
                await publisher.publish([*begun, rest])
        finally:
            os.kill(broker.pid, signal.SIGCONT)


async def test_a_topic_that_is_not_there_is_an_error_that_passes(publisher: KafkaPublisher, topic_prefix: str) -> None:
    """Nobody is left waiting."""
    with pytest.raises(Undelivered):
        await publisher.publish([message(f"{topic_prefix}nowhere", "k", "v", 0)])
