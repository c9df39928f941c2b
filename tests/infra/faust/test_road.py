"""Faust as we use it: nothing is acknowledged that was not taken, and it comes back when Kafka does."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from horae.infra.stack import KafkaServer
from horae.streams.arrivals import Arrival
from tests.fixtures.topics import make_topics
from tests.infra.faust.riding import PATIENCE_S, Taker, producing, riding

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

PARTITIONS = 4


@pytest.fixture
async def topic(kafka: KafkaServer, topic_prefix: str) -> str:
    name = f"{topic_prefix}log"
    await make_topics(kafka.bootstrap, name, partitions=PARTITIONS)
    return name


async def send(kafka: KafkaServer, topic: str, *values: str) -> None:
    async with producing(kafka.bootstrap) as producer:
        for number, value in enumerate(values):
            await producer.send_and_wait(
                topic, value.encode(), key=b"k", partition=number % PARTITIONS, headers=[("position", b"7")]
            )


async def test_what_arrives_is_taken_with_its_place_and_headers(
    kafka: KafkaServer, topic_prefix: str, topic: str
) -> None:
    """Bytes as they are; those of one partition in order."""
    take = Taker()
    async with riding(kafka.bootstrap, topic_prefix, topic, take) as ride:
        await ride.until(PARTITIONS)
        await send(kafka, topic, *"abcdefgh")
        await take.until(8)
    assert sorted(take.values) == [bytes([value]) for value in b"abcdefgh"]
    first = [arrival for arrival in take.taken if arrival.partition == 0]
    assert [(a.topic, a.offset, a.value, a.key, list(a.headers)) for a in first] == [
        (topic, 0, b"a", b"k", [("position", b"7")]),
        (topic, 1, b"e", b"k", [("position", b"7")]),
    ]
    assert ride.assignments[-1].count == PARTITIONS


class Refusing(Taker):
    """Fails a few times, as a bug or a database would make it fail."""

    async def before(self, _: Sequence[Arrival]) -> None:
        if self.batches <= 3:
            raise RuntimeError("not yet")


async def test_a_batch_that_is_not_taken_is_given_again(kafka: KafkaServer, topic_prefix: str, topic: str) -> None:
    """The agent goes on, and no record is passed over."""
    take = Refusing()
    async with riding(kafka.bootstrap, topic_prefix, topic, take) as ride:
        await ride.until(PARTITIONS)
        await send(kafka, topic, *"abcd")
        await take.until(4)
    assert sorted(take.values) == [b"a", b"b", b"c", b"d"]


class Hanging(Taker):
    """Never ends with a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.began = asyncio.Event()

    async def before(self, _: Sequence[Arrival]) -> None:
        self.began.set()
        await asyncio.Event().wait()


async def test_a_batch_under_way_at_the_end_comes_again(kafka: KafkaServer, topic_prefix: str, topic: str) -> None:
    """Faust would acknowledge it for us as it cancels the agent."""
    hanging, after = Hanging(), Taker()
    async with riding(kafka.bootstrap, topic_prefix, topic, hanging) as ride:
        await ride.until(PARTITIONS)
        await send(kafka, topic, *"abcd")
        async with asyncio.timeout(PATIENCE_S):
            await hanging.began.wait()
    assert hanging.taken == []
    async with riding(kafka.bootstrap, topic_prefix, topic, after):
        await after.until(4)
    assert sorted(after.values) == [b"a", b"b", b"c", b"d"]


@pytest.mark.covers("PRF-07")
async def test_partitions_are_shared_and_handed_over(kafka: KafkaServer, topic_prefix: str, topic: str) -> None:
    """A second member gets its part; when it leaves, the first has everything again, and nothing is lost between."""
    one, two = Taker(), Taker()
    async with riding(kafka.bootstrap, topic_prefix, topic, one) as first:
        await first.until(PARTITIONS)
        async with riding(kafka.bootstrap, topic_prefix, topic, two) as second:
            await second.until(PARTITIONS // 2)
            await first.until(PARTITIONS // 2)
            assert not first.assignments[-1].owned & second.assignments[-1].owned
            await send(kafka, topic, *"abcd")
            await one.until(2)
            await two.until(2)
        await first.until(PARTITIONS)
        await send(kafka, topic, *"efgh")
        await one.until(6)
    assert set(one.values) | set(two.values) == {bytes([value]) for value in b"abcdefgh"}
    assert first.road.rebalances >= 3


async def test_partitions_that_are_added_are_found(kafka: KafkaServer, topic_prefix: str, topic: str) -> None:
    """Without a restart of anybody."""
    take = Taker()
    async with riding(kafka.bootstrap, topic_prefix, topic, take) as ride:
        await ride.until(PARTITIONS)
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
        await admin.start()
        try:
            await admin.create_partitions({topic: NewPartitions(PARTITIONS + 2)})
        finally:
            await admin.close()
        await ride.until(PARTITIONS + 2)
        assert ride.assignments[-1].count == PARTITIONS + 2


@pytest.mark.covers("REL-18", "REL-13")
async def test_it_goes_on_when_the_broker_has_been_away(kafka: KafkaServer, topic_prefix: str, topic: str) -> None:
    """Killed and started again, the road needs nobody's help."""
    take = Taker()
    async with riding(kafka.bootstrap, topic_prefix, topic, take) as ride:
        await ride.until(PARTITIONS)
        await send(kafka, topic, *"ab")
        await take.until(2)
        await asyncio.to_thread(kafka.kill)
        await asyncio.to_thread(kafka.start)
        await send(kafka, topic, *"cd")
        async with asyncio.timeout(PATIENCE_S):
            while not {b"c", b"d"} <= set(take.values):
                await take.until(len(take.taken) + 1)


async def test_a_road_that_begins_before_its_topic_is_there_waits_for_it(kafka: KafkaServer, topic_prefix: str) -> None:
    """A worker starts whatever Kafka does."""
    take, topic = Taker(), f"{topic_prefix}later"
    async with riding(kafka.bootstrap, topic_prefix, topic, take) as ride:
        await make_topics(kafka.bootstrap, topic, partitions=PARTITIONS)
        await ride.until(PARTITIONS)
        await send(kafka, topic, "a")
        await take.until(1)
