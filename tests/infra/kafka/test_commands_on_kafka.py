"""Commands from a producer to their replies over a real broker: read once however consumers come and go."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from horae.infra.kafka.commanding import in_process, serve
from horae.infra.kafka.inputs import Input, InputConsumer
from horae.infra.kafka.publisher import KafkaPublisher
from horae.infra.kafka.topics import ensure
from horae.infra.settings import Settings
from horae.infra.stack import KafkaServer
from horae.streams.commanding import Commanding, runs
from horae.streams.inputs import Request, Response
from horae.streams.topics import Topics
from tests.api.world import DAILY, World, make_world
from tests.fixtures.postgres import Database
from tests.fixtures.topics import read_topic


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    """The API on a real PostgreSQL."""
    async with make_world(database) as made:
        yield made


@asynccontextmanager
async def running(work: Awaitable[None]) -> AsyncIterator[None]:
    """`work`, until the end of the block."""
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def send(
    settings: Settings, topics: Topics, key: str, *values: dict[str, Any], by: str = "ann", packed: str | None = None
) -> None:
    """Commands of one producer, in order."""
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka_brokers,
        enable_idempotence=True,
        compression_type=packed,
        max_request_size=4_000_000,
    )
    await producer.start()
    try:
        headers = [("authorization", f"Bearer {key}".encode())]
        for value in values:
            await producer.send(topics.commands, json.dumps(value).encode(), by.encode(), headers=headers)
    finally:
        await producer.stop()


async def replies(settings: Settings, topics: Topics, enough: Callable[[list[dict[str, Any]]], bool]) -> list[Any]:
    """Every reply up to the one that makes it enough."""
    consumer = AIOKafkaConsumer(
        topics.replies, bootstrap_servers=settings.kafka_brokers, auto_offset_reset="earliest", group_id=None
    )
    await consumer.start()
    found: list[dict[str, Any]] = []
    try:
        while not enough(found):
            found.append(json.loads((await consumer.getone()).value))
    finally:
        await consumer.stop()
    return found


def create(number: int) -> dict[str, Any]:
    return {"id": f"c-{number}", "command": "create", "body": {**DAILY, "recipient": f"user-{number}"}}


@pytest.mark.covers("INT-17", "EXT-24")
async def test_commands_are_carried_out_in_order_and_replied(settings: Settings, topics: Topics, world: World) -> None:
    """From an ordinary producer, under the tenant's key, to the read models; the bad one among them harms no other."""
    async with running(serve(world.app, settings)):
        await send(settings, topics, world.key, create(1), {"id": "bad", "command": "create"}, create(2))
        found = {reply["id"]: reply for reply in await replies(settings, topics, lambda some: len(some) == 3)}
        assert {name: reply["status"] for name, reply in found.items()} == {"c-1": 201, "bad": 422, "c-2": 201}
        first = found["c-1"]["done"]["schedule"]
        await world.settled()
        await send(
            settings,
            topics,
            world.key,
            {"id": "p", "command": "pause", "schedule": first},
            {"id": "r", "command": "resume", "schedule": first, "expect_version": 2},
            {"id": "x", "command": "cancel", "schedule": first, "expect_version": 3},
        )
        await replies(settings, topics, lambda some: len(some) == 6)
    assert (await world.get(f"/v1/schedules/{first}"))["status"] == "cancelled"
    [dead] = await read_topic(settings.kafka_brokers, topics.dead)
    headers = {name: value.decode() for name, value in dead.headers}
    assert (headers["dead-status"], headers["dead-field"]) == ("422", "recipient")
    assert "authorization" not in headers
    metrics = (await world.client.get("/metrics")).text
    assert 'kafka_commands_total{result="done"} 5.0' in metrics
    assert 'kafka_commands_total{result="dead"} 1.0' in metrics


@pytest.mark.parametrize(
    ("size", "packed", "status"),
    [(3_000_000, "gzip", 413), (1_048_000, None, 422)],
    ids=["compressed by its producer", "nearly 1 MiB"],
)
async def test_a_command_larger_than_what_we_can_send_blocks_nobody(
    settings: Settings, topics: Topics, world: World, size: int, packed: str | None, status: int
) -> None:
    """It is refused, its letter is cut to what the broker takes, and the next one of its partition is carried out."""
    large = {"id": "large", "command": "create", "body": {**DAILY, "content": {"text": ""}}}
    large["body"]["content"]["text"] = "x" * (size - len(json.dumps(large)))  # type: ignore[index]
    async with asyncio.timeout(240), running(serve(world.app, settings)):
        await send(settings, topics, world.key, large, create(1), packed=packed)
        found = {reply["id"]: reply["status"] for reply in await replies(settings, topics, lambda some: len(some) == 2)}
    assert found == {"large": status, "c-1": 201}
    [dead] = await read_topic(settings.kafka_brokers, topics.dead)
    assert dict(dead.headers)["dead-truncated"] == b"value of %d bytes" % size
    assert dead.value == json.dumps(large).encode()[: len(dead.value)]
    assert len(dead.value) > 800_000


async def test_what_a_dead_reader_had_in_hand_is_read_again_and_done_once(
    settings: Settings, topics: Topics, world: World
) -> None:
    """It stored the commands and was gone before it replied: the next one gives the answers."""
    await ensure(settings)
    stored = asyncio.Event()

    async def dies_after_storing(request: Request) -> Response:
        await in_process(world.app)(request)
        stored.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with KafkaPublisher(settings.kafka_brokers) as publisher:
        taker = Commanding(dies_after_storing, publisher, topics)
        first = InputConsumer(settings, Input(topics.commands, "commands", taker, runs))
        async with running(first.run()):
            await send(settings, topics, world.key, create(1))
            await stored.wait()
        head = await world.services.store.head()
        async with running(serve(world.app, settings)):
            [reply] = await replies(settings, topics, lambda some: len(some) == 1)
    assert (reply["status"], reply["done"]["replayed"]) == (201, True)
    assert await world.services.store.head() == head


async def test_a_broker_that_restarts_loses_no_command(
    broker: KafkaServer, settings: Settings, topics: Topics, world: World
) -> None:
    """Readers outlive its absence; each command is done once and replied."""
    async with running(serve(world.app, settings)):
        await send(settings, topics, world.key, *(create(number) for number in range(20)))
        await replies(settings, topics, lambda some: len(some) >= 5)
        await asyncio.to_thread(broker.kill)
        await asyncio.to_thread(broker.start)
        await send(settings, topics, world.key, *(create(number) for number in range(20, 30)))
        found = await replies(settings, topics, lambda some: len({reply["id"] for reply in some}) == 30)
    assert {reply["status"] for reply in found} == {201}
    assert len({reply["done"]["schedule"] for reply in found}) == 30
    listed = await world.get("/v1/schedules", limit=100)
    assert len(listed["items"]) == 30


async def test_what_is_read_right_after_a_change_of_readers_is_carried_out(
    settings: Settings, topics: Topics, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call that reads it had begun before the change, when what was read until then is to be dropped."""
    monkeypatch.setattr("horae.infra.kafka.inputs._IDLE_MS", 120_000)  # no call ends by itself in between
    async with running(serve(world.app, settings)):
        await until_members(settings, 1)
        async with running(serve(world.app, settings)):
            await until_members(settings, 2)
            for number in range(20):
                await send(settings, topics, world.key, create(number), by=f"user-{number}")
            found = await replies(settings, topics, lambda some: len({reply["id"] for reply in some}) == 20)
    assert {reply["status"] for reply in found} == {201}


async def until_members(settings: Settings, count: int) -> None:
    """The group of readers has as many, and each its partitions."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_brokers)
    await admin.start()
    try:
        async with asyncio.timeout(60):
            while True:
                with suppress(KafkaError):  # the first group of a broker has no coordinator at first
                    [answer] = await admin.describe_consumer_groups([f"{settings.kafka_consumer_group}-commands"])
                    [(_, _, state, _, _, members, *_)] = answer.groups
                    if (state, len(members)) == ("Stable", count):
                        return
    finally:
        await admin.close()


async def test_readers_share_the_partitions_and_a_change_of_readers_doubles_nothing(
    settings: Settings, topics: Topics, world: World
) -> None:
    """One joins and one leaves in the middle of a load of many keys."""
    numbers = range(120)
    async with running(serve(world.app, settings)):
        for number in numbers[:60]:
            await send(settings, topics, world.key, create(number), by=f"user-{number % 7}")
        async with running(serve(world.app, settings)):
            for number in numbers[60:]:
                await send(settings, topics, world.key, create(number), by=f"user-{number % 7}")
        found = await replies(settings, topics, lambda some: len({reply["id"] for reply in some}) == len(numbers))
    assert {reply["status"] for reply in found} == {201}
    assert len((await world.get("/v1/schedules", limit=500))["items"]) == len(numbers)
