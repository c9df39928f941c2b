"""Engagement from a producer to what is learnt of it, over a real broker: stored once, however it is read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from horae.domain.key import Scope
from horae.infra.kafka.commanding import in_process, serve_engagement
from horae.infra.kafka.inputs import Input, InputConsumer
from horae.infra.kafka.publisher import KafkaPublisher
from horae.infra.kafka.topics import ensure
from horae.infra.settings import Settings
from horae.streams.engaging import Engaging, stretches
from horae.streams.inputs import Request, Response
from horae.streams.topics import Topics
from tests.api.world import LOG_NOW, NOW, World, make_world, new_key
from tests.fixtures.postgres import Database
from tests.fixtures.topics import read_topic
from tests.infra.kafka.test_commands_on_kafka import running
from tests.infra.test_asyncapi import MESSAGES, check


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    """The API on a real PostgreSQL."""
    async with make_world(database) as made:
        yield made


async def send(settings: Settings, topics: Topics, key: str, *values: Any) -> None:
    """Reports of one producer, on one partition; what is no bytes as JSON."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka_brokers, enable_idempotence=True)
    await producer.start()
    try:
        headers = [("authorization", f"Bearer {key}".encode())]
        for value in values:
            raw = value if isinstance(value, bytes) else json.dumps(value).encode()
            await producer.send_and_wait(topics.engagement, raw, b"ann", headers=headers)
    finally:
        await producer.stop()


async def counted(world: World, line: str) -> None:
    """Return when the API tells this figure."""
    async with asyncio.timeout(240):
        while line not in (await world.client.get("/metrics")).text.splitlines():
            pass


def seen(id_: str, **more: Any) -> dict[str, Any]:
    return {"id": id_, "kind": "active", "at": NOW.isoformat(), "recipient": "user-17", **more}


@pytest.mark.covers("INT-17", "EXT-24", "OPT-08")
async def test_a_report_reaches_the_history_and_what_is_learnt(
    settings: Settings, topics: Topics, world: World
) -> None:
    """An answer stands in its occurrence's story, activity in the recipient's best times, each as if sent by HTTP."""
    await world.create(LOG_NOW)
    (attempt,) = await world.claim_due()
    await world.deliver(attempt)
    world.pass_time(hours=1)
    occurrence = str(attempt.occurrence.id)
    opened = {"id": "o-1", "kind": "opened", "at": (NOW + timedelta(minutes=50)).isoformat()}
    opened["occurrence_id"] = occurrence
    async with running(serve_engagement(world.app, settings)):
        await send(settings, topics, world.key, opened, seen("s-1"), opened, b"no json", seen("s-2", kind="dancing"))
        await send(settings, topics, await new_key(world.services, "acme", Scope.READ), seen("s-3"))
        await send(settings, topics, world.other_key, {**opened, "id": "o-2"})
        await counted(world, 'kafka_engagements_total{result="dead"} 4.0')
    shown = await world.get(f"/v1/occurrences/{occurrence}")
    assert shown["engagement"] == {"opened": "2026-12-01T08:50:00+00:00", "answered": True}
    story = (await world.get(f"/v1/occurrences/{occurrence}/explain"))["story"]
    assert "opened it at 2026-12-01 08:50:00" in story[-1]
    best = await world.get("/v1/recipients/user-17/best-times")
    assert best["evidence"]["active"] == pytest.approx(1, abs=0.1)
    # The same by HTTP is a repeat, word for word.
    again = await world.client.post("/v1/engagements", json=[opened, seen("s-1")])
    assert again.json()["repeated"] == 2
    letters = await read_topic(settings.kafka_brokers, topics.dead_engagement)
    found = [{name: value.decode() for name, value in letter.headers} for letter in letters]
    assert [(headers["dead-status"], headers["dead-field"]) for headers in found] == [
        ("400", ""),
        ("422", "kind"),
        ("403", "scope"),
        ("404", "occurrence_id"),
    ]
    assert not any(name == "authorization" for headers in found for name in headers)
    for letter in letters:
        check(MESSAGES["DeadReport"]["headers"], {name: value.decode() for name, value in letter.headers})
    check(MESSAGES["Report"]["payload"], opened)


async def test_what_a_dead_reader_had_in_hand_is_read_again_and_stored_once(
    settings: Settings, topics: Topics, world: World
) -> None:
    """It stored the reports and was gone before it could commit; what comes behind them is taken, too."""
    await ensure(settings)
    stored = asyncio.Event()

    async def dies_after_storing(request: Request) -> Response:
        await in_process(world.app)(request)
        stored.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with KafkaPublisher(settings.kafka_brokers) as publisher:
        taker = Engaging(dies_after_storing, publisher, topics)
        first = InputConsumer(settings, Input(topics.engagement, "engagement", taker, stretches))
        async with running(first.run()):
            await send(settings, topics, world.key, seen("s-1"))
            await stored.wait()
        head = await world.services.store.head()
        async with running(serve_engagement(world.app, settings)):
            await counted(world, 'kafka_engagements_total{result="repeated"} 1.0')
            assert await world.services.store.head() == head
            await send(settings, topics, world.key, seen("s-2"))
            await counted(world, 'kafka_engagements_total{result="stored"} 1.0')
    assert await world.services.store.head() == head + 1
