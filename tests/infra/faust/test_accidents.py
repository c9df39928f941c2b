"""Whatever happens to our agent, its process or its broker: the read models end as the log says.

A real relay publishes a log to a real broker, a real Faust app feeds the read models from there, an accident happens;
at the end the read models are what a replay of the whole log gives, table by table.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from horae.infra.kafka.publisher import KafkaPublisher
from horae.infra.kafka.topics import ensure
from horae.infra.rebuild import rebuild
from horae.infra.settings import Settings
from horae.infra.stack import KafkaServer
from horae.projections import schema
from horae.projections.progress import Progress
from horae.streams.arrivals import Arrival, Take
from horae.streams.topics import Topics
from tests.infra.faust.eater import Eater, eating, has_events
from tests.streams.relaying import Stage, event, stage_on

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

SHARDS = [n * 7 % 64 for n in range(80)]


class World:
    """A log, its relay, and the read models."""

    def __init__(self, stage: Stage, settings: Settings, progress: Progress) -> None:
        self.stage, self.settings, self.progress = stage, settings, progress

    async def append(self) -> int:
        """More schedules, in many shards, half of them paused; the head."""
        head = 0
        for number, shard in enumerate(SHARDS):
            stream = uuid4()
            told = [event(shard, "schedule.created.v1", stream), event(shard, "schedule.paused.v1", stream, 2)]
            head = await self.stage.store.append(told[: 1 + number % 2])
        return head

    async def applied(self, position: int) -> None:
        """Return when all of the log up to there is in the read models."""
        assert await self.progress.wait(position, 120), f"{self.progress.applied} of {position} are applied"

    async def same(self, eater: Eater) -> str:
        """The read models are what a replay gives; how they came to be that."""
        report = await rebuild(self.settings.owner_dsn())
        assert (report.differing, report.parked) == ((), 0)
        assert all(table.same for table in report.tables)
        counts = eater.feed.counts
        return (
            f"{report.events} events, {len(report.tables)} tables as replayed; by Kafka {counts.events}, again "
            f"{counts.duplicates}, healed {counts.gaps_healed} times, in {len(eater.given)} batches"
        )


@pytest.fixture
async def world(settings: Settings, topics: Topics) -> AsyncIterator[World]:
    """Topics made, a relay at work on them, and a consumer group of its own."""
    settings = settings.model_copy(update={"kafka_consumer_group": f"{settings.kafka_topic_prefix}group"})
    await ensure(settings)
    conn = await schema.connect(settings.owner_dsn())
    await schema.install(conn)
    await conn.close()
    progress = Progress(settings.owner_dsn())
    publisher = KafkaPublisher(settings.kafka_brokers)
    async with publisher, stage_on(settings.owner_dsn(), publisher) as stage:
        await progress.start()
        try:
            async with stage.running(stage.relay(topics=topics, mark_every_s=0.2, batch=20)):
                yield World(stage, settings, progress)
        finally:
            await progress.stop()


@pytest.mark.covers("REL-07", "REL-18")
async def test_an_agent_that_raises_and_dies_loses_nothing(world: World, record_property: Any) -> None:
    """What raises is given the same batch again, whether it failed before or after applying it, and nothing is healed.

    A dead agent Faust starts again where its stream is, not where it was: what it had in hand is healed from the log.
    """
    accidents: list[str] = []

    async def unlucky(take: Take, arrivals: Sequence[Arrival]) -> None:
        accident = accidents.pop() if accidents and has_events(arrivals) else ""
        if accident == "dies":
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.Event().wait()
        if accident != "raises":
            await take(arrivals)
        if accident:
            raise ValueError("an accident")

    accidents += ["raises", "raises later"] * 2
    head = await world.append()
    async with eating(world.settings, unlucky) as eater:
        await world.applied(head)
        assert max(Counter(map(str, eater.given)).values()) == 5
        assert eater.feed.counts.gaps_healed == 0
        for _ in range(2):
            accidents.append("dies")
            await world.applied(await world.append())
            assert not accidents
        assert eater.feed.counts.gaps_healed > 0
        record_property("report", await world.same(eater))


@pytest.mark.crash
@pytest.mark.covers("REL-03", "REL-18")
async def test_what_was_applied_and_not_acknowledged_comes_twice_and_counts_once(
    world: World, tmp_path: Path, record_property: Any
) -> None:
    """The process is killed between the two; the next one is given all of it again."""
    marker = tmp_path / "applied"
    os.mkfifo(marker)
    head = await world.append()
    async with process(world.settings, marker) as first:
        told = asyncio.to_thread(marker.read_text)  # a pipe: returns when the other has written to it
        assert await told == "applied\n"
        first.kill()
        await first.wait()
    async with eating(world.settings) as eater:
        await world.applied(head)
        await world.applied(await world.append())
        assert eater.feed.counts.duplicates > 0
        assert eater.feed.counts.gaps_healed == 0
        record_property("report", await world.same(eater))


@pytest.mark.crash
@pytest.mark.covers("REL-03", "REL-18")
async def test_a_broker_that_is_killed_loses_nothing(world: World, broker: KafkaServer, record_property: Any) -> None:
    """Neither relay nor worker is started again: their clients, and where it must be another app, see to it."""
    async with eating(world.settings) as eater:
        await world.applied(await world.append())
        await asyncio.to_thread(broker.kill)
        head = await world.append()
        await asyncio.to_thread(broker.start)
        await world.applied(head)
        await world.applied(await world.append())
        record_property("report", f"{await world.same(eater)}; {eater.road.rebalances} assignments")


@asynccontextmanager
async def process(settings: Settings, marker: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """An eater that hangs between applying and acknowledging its first batch."""
    told = {
        "dsn": settings.owner_dsn(),
        "kafka_brokers": settings.kafka_brokers,
        "kafka_topic_prefix": settings.kafka_topic_prefix,
        "kafka_consumer_group": settings.kafka_consumer_group,
        "data": str(settings.data),
    }
    command = [sys.executable, "-m", "tests.infra.faust.eater", json.dumps(told), str(marker)]
    running = await asyncio.create_subprocess_exec(*command, cwd=Path(__file__).parents[3])
    try:
        yield running
    finally:
        if running.returncode is None:
            running.kill()
        await running.wait()
