"""Faust acknowledges and commits the batch that an agent failed with. Here that loses nothing."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Any

import faust
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.structs import TopicPartition

from horae.infra.faust.app import arrival_of, make_app
from horae.infra.rebuild import rebuild
from horae.infra.settings import Settings
from horae.infra.stack import KafkaServer
from horae.projections import schema
from horae.streams.dispatcher import Among
from horae.streams.duty import Duty, DutyConfig
from horae.streams.messages import EventRecord, Mark, partition_of, shards_of
from horae.streams.shardfeed import ShardFeed
from tests.fixtures.postgres import Database
from tests.fixtures.topics import make_topics
from tests.infra.faust.riding import PATIENCE_S, Ride, producing, settings_for
from tests.streams.records import mark_at, records_of
from tests.streams.test_duty import Known, Owner
from tests.streams.worker import NOON, Worker, at, worker_on

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

PARTITIONS = 4
SCHEDULES = 60


class Careless:
    """An agent written as Faust's guide writes them: what it raises ends it, and Faust starts it again."""

    def __init__(self, topic: str, duty: Duty) -> None:
        self.topic, self.duty = topic, duty
        self.failures = 0
        self.lost = 0
        self.failed = asyncio.Event()

    def app(self, settings: Settings) -> faust.App:
        app = make_app(settings)
        app.agent(app.topic(self.topic), name="careless")(self._body)
        return app

    async def _body(self, stream: Any) -> None:
        async for events in stream.take_events(10, within=0.05):
            arrivals = [arrival_of(event) for event in events]
            if self.failures < 3 and any(isinstance(arrival.record(), EventRecord) for arrival in arrivals):
                self.failures += 1
                self.lost += len(arrivals)
                self.failed.set()
                raise RuntimeError("a bug, in the middle of a batch")
            await self.duty.take(arrivals)


async def publish(bootstrap: str, topic: str, worker: Worker) -> None:
    """Everything in the log, as the relay does, and then marks."""
    log = await worker.store.after(0, 1000)
    async with producing(bootstrap) as producer:
        for record in records_of(log):
            await producer.send(
                topic, record.state, partition=partition_of(record.shard, PARTITIONS), headers=record.headers()
            )
        await producer.flush()


async def mark(bootstrap: str, topic: str, worker: Worker) -> None:
    log = await worker.store.after(0, 1000)
    async with producing(bootstrap) as producer:
        for partition in range(PARTITIONS):
            said: Mark = mark_at(log, len(log), shards_of([partition], PARTITIONS))
            await producer.send_and_wait(topic, said.value(), partition=partition, headers=said.headers())


async def committed(settings: Settings, topic: str) -> int:
    """How many records of the topic the group counts as done."""
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka_brokers, group_id=settings.kafka_consumer_group)
    await consumer.start()
    try:
        found = [await consumer.committed(TopicPartition(topic, number)) for number in range(PARTITIONS)]
        return sum(offset or 0 for offset in found)
    finally:
        await consumer.stop()


@pytest.mark.covers("REL-07", "REL-18")
async def test_an_agent_that_raises_and_is_restarted_ends_with_the_same_read_model(
    kafka: KafkaServer, topic_prefix: str, database: Database
) -> None:
    """What Faust committed and nobody applied is found missing, and is read from the event store."""
    topic = f"{topic_prefix}log"
    await make_topics(kafka.bootstrap, topic, partitions=PARTITIONS)
    async with worker_on(database, feeding=False) as worker:
        for number in range(SCHEDULES):
            await worker.create(at(NOON + timedelta(hours=1)), recipient=f"r{number}")
        feed = ShardFeed(worker.store, lambda: schema.connect(database.owner_dsn), [], time.monotonic)
        # Never by silence alone: only what comes by Kafka may lead to the store here.
        duty = Duty(DutyConfig(silence_s=1e9), feed, Owner(), Known(Among()), time.monotonic)
        careless = Careless(topic, duty)
        settings = settings_for(kafka.bootstrap, topic_prefix)
        ride = Ride(settings, topic, lambda: careless.app(settings))
        try:
            await ride.until(PARTITIONS)
            await publish(kafka.bootstrap, topic, worker)
            async with asyncio.timeout(PATIENCE_S):
                await careless.failed.wait()
                while feed.position < SCHEDULES:
                    await mark(kafka.bootstrap, topic, worker)
                    await feed.reset()
        finally:
            await ride.end()
            await feed.close()
        assert careless.lost > 0
        assert feed.counts.gaps_healed > 0
        assert await committed(settings, topic) > SCHEDULES
        assert await worker.pool.fetchval("SELECT count(*) FROM schedules") == SCHEDULES
    # The same as a replay of the event store comes to.
    report = await rebuild(database.owner_dsn)
    assert (report.events, report.parked, report.differing) == (SCHEDULES, 0, ())
