"""Commands by Kafka behind the API's real door, on a real PostgreSQL: the same as over HTTP, once each."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from horae.api.services import ApiSettings
from horae.domain.errors import Busy, Unavailable
from horae.domain.key import Scope
from horae.infra.kafka.commanding import in_process
from horae.streams.commanding import Commanding
from horae.streams.inputs import Received
from horae.streams.topics import Topics
from tests.api.world import DAILY, World, make_world, new_key
from tests.fakes.publisher import InMemoryPublisher
from tests.fixtures.postgres import Database
from tests.infra.test_asyncapi import MESSAGES, check_message

TOPICS = Topics.named()


@dataclass
class Stage:
    """A world, with the topics around its door."""

    world: World
    publisher: InMemoryPublisher
    commanding: Commanding

    async def send(self, value: dict[str, Any], offset: int = 0, key: str | None = None) -> dict[str, Any]:
        """Take one message, under the tenant's key unless another is given; its reply."""
        before = len(self.said(TOPICS.replies))
        headers = (("authorization", f"Bearer {key or self.world.key}".encode()),)
        raw = json.dumps(value).encode()
        await self.commanding.take([Received(TOPICS.commands, 0, offset, 1, b"k", raw, headers)])
        replies = self.said(TOPICS.replies)
        assert len(replies) == before + 1
        return replies[-1]

    def said(self, topic: str) -> list[dict[str, Any]]:
        """Values on a topic, in order as long as they have one key."""
        return [json.loads(each.value) for partition in self.publisher.of(topic) for each in partition]


async def _no_pause(_seconds: float) -> None:
    """Tests do not wait."""


@pytest.fixture
async def stage(database: Database) -> AsyncIterator[Stage]:
    """A fresh installation."""
    async with make_world(database) as world:
        publisher = InMemoryPublisher(width=1)
        yield Stage(world, publisher, Commanding(in_process(world.app), publisher, TOPICS, pause=_no_pause))


CREATE = {"id": "c-1", "command": "create", "body": DAILY}


@pytest.mark.covers("INT-17", "EXT-24")
async def test_a_schedule_lives_its_life_by_commands(stage: Stage) -> None:
    """Every command, each on the version that the one before left."""
    created = await stage.send(CREATE)
    assert (created["status"], created["done"]["status"]) == (201, "pending")
    schedule = created["done"]["schedule"]
    await stage.world.settled()
    steps: list[tuple[str, dict[str, Any], int, str]] = [
        ("change", {"priority": 5}, 200, "pending"),
        ("skip", {"slot": "2026-12-02T09:00"}, 200, "pending"),
        ("unskip", {"slot": "2026-12-02T09:00"}, 200, "pending"),
        ("pause", {"reason": "a break"}, 200, "paused"),
        ("resume", {}, 200, "pending"),
        ("trigger", {}, 202, ""),
        ("cancel", {}, 200, "cancelled"),
    ]
    for number, (command, body, status, state) in enumerate(steps, start=2):
        reply = await stage.send({"id": f"c-{number}", "command": command, "schedule": schedule, "body": body}, number)
        assert (reply["status"], reply["done"]["version"]) == (status, number), reply
        assert reply["done"].get("status", "") == state
    history = await stage.world.get(f"/v1/schedules/{schedule}/history")
    assert [entry["request_id"] for entry in history["items"]] == [
        f"schedule-commands/0@{offset}" for offset in (0, *range(2, 9))
    ]
    assert {entry["actor"].partition(":")[0] for entry in history["items"]} == {"key"}
    assert stage.said(TOPICS.dead) == []


async def test_what_comes_again_gets_the_same_answer_and_happens_once(stage: Stage) -> None:
    """Also when the world has moved on meanwhile; only `replayed` tells them apart."""
    first = await stage.send(CREATE)
    schedule = first["done"]["schedule"]
    await stage.world.settled()
    pause = {"id": "c-2", "command": "pause", "schedule": schedule}
    paused = await stage.send(pause, 1)
    await stage.send({"id": "c-3", "command": "resume", "schedule": schedule}, 2)
    head = await stage.world.services.store.head()
    for before, again in ((first, await stage.send(CREATE)), (paused, await stage.send(pause, 1))):
        assert again["done"].pop("replayed") is True
        assert before["done"].pop("replayed") is False
        assert before == again
    assert await stage.world.services.store.head() == head


async def test_the_same_idempotency_key_by_http_and_by_kafka_is_one_request(stage: Stage) -> None:
    """Whoever changes from one way to the other in the middle of something doubles nothing."""
    answer = await stage.world.client.post("/v1/schedules", json=DAILY, headers={"Idempotency-Key": "order-1"})
    reply = await stage.send({**CREATE, "idempotency_key": "order-1"})
    assert reply["done"]["schedule"] == answer.json()["id"]
    assert reply["done"]["replayed"]
    other = await stage.send({**CREATE, "idempotency_key": "order-1", "body": {**DAILY, "priority": 5}}, 1)
    assert (other["status"], other["problem"]["code"]) == (422, "idempotency_mismatch")


@pytest.mark.covers("INT-17")
async def test_a_bad_body_gets_the_problem_that_http_gives(stage: Stage) -> None:
    """Word for word, but for the instance and the request's id; and nothing is stored."""
    head = await stage.world.services.store.head()
    for number, body in enumerate(
        (
            {},
            {**DAILY, "channel": "pigeon:home"},
            {**DAILY, "channel": "kafka:notifications-due"},
            {**DAILY, "timing": {"kind": "every", "cron": "61 9 * * *", "zone": "Europe/Berlin"}},
            {**DAILY, "timing": {"kind": "at", "local": "2027-01-01T09:00", "zone": "Mars/Base"}},
            {**DAILY, "content": {"text": "a\x00b"}},
            {**DAILY, "recipent": "x"},
            {**DAILY, "priority": "high"},
        )
    ):
        asked = await stage.world.client.post("/v1/schedules", json=body)
        reply = await stage.send({"id": f"c-{number}", "command": "create", "body": body}, number)
        theirs, ours = asked.json(), reply["problem"]
        for document in (theirs, ours):
            del document["instance"], document["request_id"]
        assert (reply["status"], ours) == (asked.status_code, theirs)
    assert len(stage.said(TOPICS.dead)) == 8
    assert await stage.world.services.store.head() == head


async def test_a_key_opens_what_it_opens_over_http(stage: Stage) -> None:
    """No key, a wrong one, one that only reads, another tenant's."""
    schedule = (await stage.send(CREATE))["done"]["schedule"]
    pause = {"command": "pause", "schedule": schedule}
    reading = await new_key(stage.world.services, "acme", Scope.READ)
    for offset, (key, status, code) in enumerate(
        (
            ("hk_wrong", 401, "unauthenticated"),
            (reading, 403, "forbidden"),
            (stage.world.other_key, 404, "not_found"),
        ),
        start=1,
    ):
        reply = await stage.send({**pause, "id": f"p-{offset}"}, offset, key)
        assert (reply["status"], reply["problem"]["code"]) == (status, code)
    await stage.commanding.take([Received(TOPICS.commands, 0, 9, 1, b"k", json.dumps(pause).encode())])
    assert stage.said(TOPICS.replies)[-1]["status"] == 401
    assert all(b"hk_wrong" not in value for each in stage.publisher.of(TOPICS.dead)[0] for _, value in each.headers)


async def test_what_is_said_is_as_the_document_describes(stage: Stage) -> None:
    """Replies to what was done and to what was not, and dead letters, in headers and value."""
    await stage.send({**CREATE, "id": "good"})
    await stage.send({"id": "bad", "command": "create"}, 1)
    for name, topic, number in (("Reply", TOPICS.replies, 2), ("DeadCommand", TOPICS.dead, 1)):
        messages = stage.publisher.of(topic)[0]
        assert len(messages) == number
        for message in messages:
            check_message(MESSAGES[name], message.headers, message.value)


async def test_an_expected_version_guards_as_if_match(stage: Stage) -> None:
    """An answer for now, no dead letter: who reads again may send again."""
    schedule = (await stage.send(CREATE))["done"]["schedule"]
    reply = await stage.send({"command": "pause", "schedule": schedule, "expect_version": 9}, 1)
    assert (reply["status"], reply["problem"]["code"]) == (412, "version_mismatch")
    assert (await stage.send({"command": "pause", "schedule": schedule, "expect_version": 1}, 2))["status"] == 200
    assert stage.said(TOPICS.dead) == []


@dataclass
class Flaky:
    """A log that is full, away, or loses its acknowledgements for the first appends."""

    store: Any
    faults: list[str]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    async def append(self, *args: Any, **more: Any) -> int:
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "busy":
            raise Busy("full")
        if fault == "away":
            raise Unavailable("away")
        position: int = await self.store.append(*args, **more)
        if fault == "unanswered":
            raise Unavailable("nobody knows")
        return position


async def test_a_log_that_is_full_or_away_is_waited_for_and_nothing_is_done_twice(database: Database) -> None:
    """Also when it had stored the command and could not say so."""
    async with make_world(database) as world:
        flaky = Flaky(world.services.store, ["busy", "away", "unanswered"])
        world.services.schedules._store = flaky
        publisher = InMemoryPublisher(width=1)
        stage = Stage(world, publisher, Commanding(in_process(world.app), publisher, TOPICS, pause=_no_pause))
        head = await world.services.store.head()
        reply = await stage.send(CREATE)
        assert reply["status"] == 201
        assert flaky.faults == []
        assert await world.services.store.head() == head + 1
        assert stage.said(TOPICS.dead) == []


async def test_a_flood_is_told_that_it_is_one(database: Database) -> None:
    """The key's limit is that of HTTP; who is over it is answered and holds up nobody else's commands."""
    async with make_world(database, ApiSettings(rate_limit_requests=2)) as world:
        publisher = InMemoryPublisher(width=1)
        stage = Stage(world, publisher, Commanding(in_process(world.app), publisher, TOPICS, pause=_no_pause))
        statuses = [(await stage.send({**CREATE, "id": f"c-{n}"}, n))["status"] for n in range(3)]
        assert statuses == [201, 201, 429]
        assert (await stage.send(CREATE, 9, world.other_key))["status"] == 201
