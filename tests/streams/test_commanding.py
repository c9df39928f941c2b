"""Commands by Kafka: what a message becomes, in which order, and what is waited for. (The door here is scripted; the
real one is asked in tests/infra/kafka.)"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from horae.streams.commanding import Commanding, runs
from horae.streams.deadletters import LARGEST
from horae.streams.inputs import Received, Request, Response
from horae.streams.topics import Topics
from tests.fakes.publisher import InMemoryPublisher

TOPICS = Topics.named("t-")
SCHEDULE = UUID(int=7)
CREATED = Response(201, json.dumps({"id": str(SCHEDULE), "version": 1, "position": 4, "status": "pending"}).encode())


def message(value: Any, offset: int = 0, key: bytes | None = b"k", **headers: str) -> Received:
    """A message of the topic; what is no bytes is written as JSON."""
    raw = value if isinstance(value, bytes | None) else json.dumps(value).encode()
    given_headers = tuple((name.replace("_", "-"), text.encode()) for name, text in headers.items())
    return Received(TOPICS.commands, 3, offset, 1_700_000_000_000, key, raw, given_headers)


CREATE = {"id": "c-1", "command": "create", "body": {"recipient": "ann"}}


@dataclass
class Stage:
    """The handler, its door with what it shall answer, and what it published."""

    answers: list[Response | Exception] = field(default_factory=list)
    asked: list[Request] = field(default_factory=list)
    paused: list[float] = field(default_factory=list)
    publisher: InMemoryPublisher = field(default_factory=InMemoryPublisher)

    async def door(self, request: Request) -> Response:
        self.asked.append(request)
        answer = self.answers.pop(0) if self.answers else CREATED
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def pause(self, seconds: float) -> None:
        self.paused.append(seconds)

    def taking(self) -> Commanding:
        return Commanding(self.door, self.publisher, TOPICS, pause=self.pause)

    async def take(self, *messages: Received) -> dict[str, int]:
        return dict(await self.taking().take(messages))

    def said(self, topic: str) -> list[tuple[bytes, bytes, dict[str, str]]]:
        """Key, value and headers of everything on a topic."""
        return [
            (each.key, each.value, {name: value.decode() for name, value in each.headers})
            for partition in self.publisher.of(topic)
            for each in partition
        ]

    def reply(self) -> dict[str, Any]:
        """The only reply."""
        [(_, value, _)] = self.said(TOPICS.replies)
        found: dict[str, Any] = json.loads(value)
        return found


# --- what a message becomes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "method", "path"),
    [
        ("create", "POST", "/v1/schedules"),
        ("change", "PATCH", f"/v1/schedules/{SCHEDULE}"),
        ("pause", "POST", f"/v1/schedules/{SCHEDULE}/pause"),
        ("resume", "POST", f"/v1/schedules/{SCHEDULE}/resume"),
        ("cancel", "POST", f"/v1/schedules/{SCHEDULE}/cancel"),
        ("trigger", "POST", f"/v1/schedules/{SCHEDULE}/trigger"),
        ("skip", "POST", f"/v1/schedules/{SCHEDULE}/skip"),
        ("unskip", "POST", f"/v1/schedules/{SCHEDULE}/unskip"),
    ],
)
async def test_each_command_is_a_request(command: str, method: str, path: str) -> None:
    """Its body is the request's; schedule, key, idempotency and trace come along."""
    stage = Stage()
    value = {"id": "c-1", "command": command, "body": {"x": "ü"}}
    if command != "create":
        value["schedule"] = str(SCHEDULE)
    await stage.take(message(value, 17, authorization="Bearer hk", traceparent="00-ab-cd-01"))
    [request] = stage.asked
    assert (request.method, request.path, json.loads(request.body)) == (method, path, {"x": "ü"})
    assert dict(request.headers) == {
        "content-type": "application/json",
        "idempotency-key": "c-1",
        "x-request-id": "t-schedule-commands/3@17",
        "authorization": "Bearer hk",
        "traceparent": "00-ab-cd-01",
    }


async def test_the_key_may_stand_in_the_other_header_and_versions_are_expected_as_by_if_match() -> None:
    """In any case of letters, as in HTTP."""
    stage = Stage()
    value = {"command": "pause", "schedule": str(SCHEDULE), "expect_version": 3, "idempotency_key": "mine"}
    await stage.take(message(value, X_API_Key="hk"))
    headers = dict(stage.asked[0].headers)
    assert (headers["x-api-key"], headers["if-match"], headers["idempotency-key"]) == ("hk", '"3"', "mine")


async def test_a_command_without_a_name_is_named_by_its_place() -> None:
    """Which its producer was told. Read again it is the same; a topic made anew begins other places."""
    stage = Stage()
    await stage.take(message({"command": "create"}, 17))
    await stage.take(message({"command": "create"}, 17))
    first, second = (dict(request.headers) for request in stage.asked)
    assert first == second
    assert first["idempotency-key"] == "t-schedule-commands/3@17#1700000000000"
    assert {key for key, _, _ in stage.said(TOPICS.replies)} == {b"t-schedule-commands/3@17"}


@pytest.mark.covers("INT-17")
async def test_what_was_done_is_replied_without_anything_personal() -> None:
    """The reply is keyed by the command's id and says where to go on."""
    stage = Stage(answers=[Response(201, json.dumps({**json.loads(CREATED.body), "recipient": "ann"}).encode())])
    counts = await stage.take(message(CREATE, 17, correlation_id="job 9"))
    assert counts == {"done": 1}
    [(key, value, headers)] = stage.said(TOPICS.replies)
    assert key == b"c-1"
    assert json.loads(value) == {
        "id": "c-1",
        "command": "create",
        "status": 201,
        "done": {"schedule": str(SCHEDULE), "version": 1, "position": 4, "status": "pending", "replayed": False},
    }
    assert headers["in-reply-to"] == "t-schedule-commands/3@17"
    assert (headers["correlation-id"], headers["status"]) == ("job 9", "201")
    assert stage.said(TOPICS.dead) == []


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "name", "field"),
    [
        (None, None, None),
        (b"", None, None),
        (b"\xff\xfe", None, None),
        (b"not json", None, None),
        (b"[]", None, None),
        (b'"text"', None, None),
        (b'{"id":"c-1","command":"create","body":{"n":NaN}}', None, None),
        (b"[" * 100_000, None, None),
        ({"id": "c-1"}, "c-1", "command"),
        ({"id": "c-1", "command": "delete"}, "c-1", "command"),
        ({"id": "c-1", "command": "create", "shedule": 1}, "c-1", "shedule"),
        ({"id": "c-1", "command": "create", "tenant": "globex"}, "c-1", "tenant"),
        ({"id": "c-1", "command": "create", "schedule": str(SCHEDULE)}, "c-1", "schedule"),
        ({"id": "c-1", "command": "pause"}, "c-1", "schedule"),
        ({"id": "c-1", "command": "pause", "schedule": "7"}, "c-1", "schedule"),
        ({"id": "c-1", "command": "create", "body": []}, "c-1", "body"),
        ({"id": "c-1", "command": "create", "expect_version": 1}, "c-1", "expect_version"),
        ({"id": "c-1", "command": "pause", "schedule": str(SCHEDULE), "expect_version": "1"}, "c-1", "expect_version"),
        ({"id": "c-1", "command": "pause", "schedule": str(SCHEDULE), "expect_version": 0}, "c-1", "expect_version"),
        ({"id": "", "command": "create"}, None, "id"),
        ({"id": 7, "command": "create"}, None, "id"),
        ({"id": "x" * 256, "command": "create"}, None, "id"),
        ({"id": "c-1", "command": "create", "idempotency_key": ""}, "c-1", "idempotency_key"),
        ({"id": "c-1", "command": "create", "idempotency_key": "a\x00b"}, "c-1", "idempotency_key"),
        (b'{"id":"c-1","command":"create","body":{"n":1' + b"0" * 5_000 + b"}}", None, None),
    ],
)
async def test_what_is_no_command_is_a_dead_letter_with_the_reason(
    value: Any, name: str | None, field: str | None
) -> None:
    """The door is never asked. Whose name could be read is told by it, else by the message's place."""
    stage = Stage()
    counts = await stage.take(message(value, 17))
    assert stage.asked == []
    assert counts == {"refused": 1, "dead": 1}
    reply = stage.reply()
    assert reply["id"] == (name or "t-schedule-commands/3@17")
    assert reply["problem"]["code"] == "unreadable_command"
    assert reply["problem"].get("field") == field
    [(_, dead, headers)] = stage.said(TOPICS.dead)
    assert dead == (message(value).value or b"")
    assert headers["dead-reason"] == reply["problem"]["detail"]


@pytest.mark.parametrize("status", [400, 401, 403, 413, 415, 422])
async def test_what_no_state_of_things_would_allow_is_a_dead_letter_too(status: int) -> None:
    """The message as it came, but without the key, with what the door said."""
    problem = {"status": status, "code": "wrong", "field": "timing", "detail": "It is wrong."}
    stage = Stage(answers=[Response(status, json.dumps(problem).encode())])
    counts = await stage.take(message(CREATE, 17, authorization="Bearer secret", x_api_key="secret", mine="kept"))
    assert counts == {"refused": 1, "dead": 1}
    assert stage.reply()["problem"] == {**problem, "instance": "t-schedule-commands/3@17"}
    [(key, value, headers)] = stage.said(TOPICS.dead)
    assert (key, json.loads(value)) == (b"k", CREATE)
    assert headers == {
        "mine": "kept",
        "dead-reason": "It is wrong.",
        "dead-code": "wrong",
        "dead-field": "timing",
        "dead-status": str(status),
        "dead-from": "t-schedule-commands/3@17",
    }


@pytest.mark.parametrize("status", [404, 409, 412, 429])
async def test_a_refusal_for_now_is_an_answer_and_no_dead_letter(status: int) -> None:
    """The same command may pass later: its sender decides."""
    stage = Stage(answers=[Response(status, b'{"code": "conflict"}')])
    assert await stage.take(message(CREATE)) == {"refused": 1}
    assert stage.reply()["status"] == status
    assert stage.said(TOPICS.dead) == []


async def test_what_is_said_of_a_command_fits_a_broker_however_large_the_command_was() -> None:
    """Its letter is cut and says so, and a reply that repeats a whole field's name is, too; nothing waits for ever."""
    stage, name = Stage(), "x" * 3_000_000
    assert await stage.take(message({"id": "c-1", "command": "create", name: 1}, key=b"k" * 2_000_000)) == {
        "refused": 1,
        "dead": 1,
    }
    [(_, reply, _)] = stage.said(TOPICS.replies)
    problem = json.loads(reply)["problem"]
    assert (problem["code"], problem["truncated"], problem["field"][:3]) == ("unreadable_command", True, "xxx")
    [(key, value, headers)] = stage.said(TOPICS.dead)
    assert value == message({"id": "c-1", "command": "create", name: 1}).value[: len(value)]  # type: ignore[index]
    assert headers["dead-truncated"] == "value of 3000041 bytes, key of 2000000 bytes"
    assert 800_000 < len(reply) + len(value) + len(key) + sum(map(len, headers.values())) < 2 * LARGEST
    assert all(sum(map(len, (*each[:2], *each[2].values()))) < LARGEST for each in stage.said(TOPICS.dead))


# --- what is waited for -----------------------------------------------------------------------------------------------


async def test_whatever_is_busy_or_away_is_waited_for() -> None:
    """However long: a 503 is never an answer to a command, and never makes it a dead letter."""
    stage = Stage(answers=[*(Response(503, b"{}", 1.0) for _ in range(50)), CREATED])
    assert await stage.take(message(CREATE)) == {"done": 1}
    assert len(stage.asked) == 51
    assert len(set(stage.asked)) == 1
    assert stage.paused[0] == 1.0
    assert max(stage.paused) == 5.0


async def test_a_poison_is_tried_a_few_times_and_then_dead() -> None:
    """An exception or a 500 may be a moment's; what fails for ever must not stop the partition."""
    stage = Stage(answers=[RuntimeError("bug"), Response(500, b"no json"), Response(500, b"{}")])
    assert await stage.take(message(CREATE)) == {"refused": 1, "dead": 1}
    assert len(stage.asked) == 3
    assert stage.reply()["status"] == 500
    stage = Stage(answers=[RuntimeError("a moment's"), CREATED])
    assert await stage.take(message(CREATE)) == {"done": 1}


async def test_a_message_counts_as_read_when_its_reply_is_acknowledged() -> None:
    """Replies wait for Kafka; one that arrived unacknowledged comes twice rather than never."""
    stage = Stage()
    stage.publisher.failures = ["lost", "unacknowledged", "lost"]
    await stage.take(message(CREATE))
    assert len(stage.asked) == 1
    assert [json.loads(value)["id"] for _, value, _ in stage.said(TOPICS.replies)] == ["c-1", "c-1"]


# --- order ------------------------------------------------------------------------------------------------------------


async def test_a_stretch_is_carried_out_at_once() -> None:
    """One that must wait holds up no other of its stretch."""
    stage, gate, arrived = Stage(), asyncio.Event(), asyncio.Event()

    async def door(request: Request) -> Response:
        stage.asked.append(request)
        if len(stage.asked) == 1:
            await gate.wait()
        elif len(stage.asked) == 10:
            arrived.set()
        return CREATED

    commanding = Commanding(door, stage.publisher, TOPICS, pause=stage.pause)
    taking = asyncio.create_task(commanding.take([message(CREATE, n, b"%d" % n) for n in range(10)]))
    await arrived.wait()
    assert stage.said(TOPICS.replies) == []
    gate.set()
    assert (await taking)["done"] == 10


keys = st.lists(st.sampled_from([None, b"a", b"b", b"c"]), max_size=30)


@given(keys)
def test_stretches_keep_every_message_in_order_and_no_key_twice(found: Sequence[bytes | None]) -> None:
    """So that what comes again after a crash is one stretch, in which nobody's commands can overtake each other."""
    messages = [message(CREATE, offset, key) for offset, key in enumerate(found)]
    stretches = list(runs(messages))
    assert [each for stretch in stretches for each in stretch] == messages
    for stretch in stretches:
        keyed = [each.key for each in stretch if each.key is not None]
        assert stretch
        assert len(keyed) == len(set(keyed))
