"""One key's rate limit holds nobody's reports up: on this road we read at our own pace, and wait for no key's turn."""

import json
from collections.abc import AsyncIterator
from typing import Never

import pytest

from horae.api.services import ApiSettings
from horae.infra.kafka.commanding import in_process
from horae.streams.engaging import Engaging
from horae.streams.inputs import Received, Request
from horae.streams.topics import Topics
from tests.api.world import GLOBEX, NOW, World, make_world
from tests.fakes.publisher import InMemoryPublisher
from tests.fixtures.postgres import Database

TOPICS = Topics.named("")
LIMIT = 2


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    """Where a key has two requests an hour."""
    async with make_world(database, ApiSettings(rate_limit_requests=LIMIT, rate_limit_window_s=3_600)) as made:
        yield made


def report(number: int, key: str) -> Received:
    """One of an hour ago."""
    told = {"id": f"e-{number}", "recipient": "ann", "kind": "opened", "at": NOW.isoformat()}
    headers = (("authorization", f"Bearer {key}".encode()),)
    return Received(TOPICS.engagement, 3, number, 1, b"ann", json.dumps(told).encode(), headers)


async def no_pause(_: float) -> Never:
    pytest.fail("it waits, and everybody behind it")


async def exhaust(world: World) -> None:
    """Use up the first key's requests over HTTP."""
    for _ in range(LIMIT):
        assert (await world.client.get("/v1/schedules")).status_code == 200
    assert (await world.client.get("/v1/schedules")).status_code == 429


async def test_a_key_over_its_limit_holds_up_nobody(world: World) -> None:
    """Neither its own reports nor those of others on the partition; its requests over HTTP are refused still."""
    await exhaust(world)
    publisher = InMemoryPublisher()
    engaging = Engaging(in_process(world.app, limited=False), publisher, TOPICS, pause=no_pause)
    for batch in range(LIMIT + 1):
        mixed = [report(10 * batch, world.key), report(10 * batch + 1, world.other_key)]
        assert await engaging.take(mixed) == {"stored": 2}
    assert not any(publisher.of(TOPICS.dead_engagement))
    assert (await world.client.get("/v1/schedules")).status_code == 429
    assert (await world.other.get("/v1/schedules")).status_code == 200, f"{GLOBEX} has asked nothing over HTTP"


async def test_commands_are_limited_as_over_http(world: World) -> None:
    """There each is answered, the refusal too."""
    await exhaust(world)
    headers = (("authorization", f"Bearer {world.key}"),)
    answer = await in_process(world.app)(Request("GET", "/v1/schedules", headers, b""))
    assert answer.status == 429
