"""Engagement by Kafka: how reports become requests, and what is not taken. (The door here is scripted; the real one is
asked in tests/infra/kafka.)"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from horae.streams.engaging import Engaging, stretches
from horae.streams.inputs import Received, Request, Response
from horae.streams.topics import Topics
from tests.fakes.publisher import InMemoryPublisher

TOPICS = Topics.named("t-")


def report(number: int, raw: bytes | None = None, /, **headers: str) -> Received:
    """A message of the topic, under a key to us unless headers are given."""
    value = json.dumps({"id": f"e-{number}"}).encode() if raw is None else raw
    given = headers or {"authorization": "Bearer hk"}
    encoded = tuple((name.replace("_", "-"), text.encode()) for name, text in given.items())
    return Received(TOPICS.engagement, 3, number, 1, b"ann", value, encoded)


def judged(request: Request, status: Callable[[Any], int] = lambda _item: 201) -> Response:
    """The answer of HTTP to a batch."""
    items: list[dict[str, Any]] = []
    for index, item in enumerate(json.loads(request.body)):
        found = status(item)
        error = {"status": found, "code": "wrong", "field": "kind", "detail": "It is wrong."} if found >= 300 else None
        items.append({"index": index, "status": found, "error": error})
    return Response(200, json.dumps({"items": items}).encode())


@dataclass
class Stage:
    """The handler, its door and what it published."""

    answer: Callable[[Request], Response] = judged
    asked: list[Request] = field(default_factory=list)
    paused: list[float] = field(default_factory=list)
    publisher: InMemoryPublisher = field(default_factory=InMemoryPublisher)

    async def door(self, request: Request) -> Response:
        self.asked.append(request)
        return self.answer(request)

    async def pause(self, seconds: float) -> None:
        self.paused.append(seconds)

    async def take(self, *messages: Received) -> dict[str, int]:
        return dict(await Engaging(self.door, self.publisher, TOPICS, pause=self.pause).take(messages))

    def dead(self) -> list[tuple[bytes, dict[str, str]]]:
        """Values and headers of the dead letters."""
        return [
            (each.value, {name: value.decode() for name, value in each.headers})
            for partition in self.publisher.of(TOPICS.dead_engagement)
            for each in partition
        ]


async def test_the_reports_of_one_key_are_one_request() -> None:
    """Word for word as they came, in their order; another key asks for itself."""
    stage = Stage()
    counts = await stage.take(report(1), report(2, b' {"id": "\xc3\xbc"}'), report(3, x_api_key="other"), report(4))
    assert counts == {"stored": 4}
    first, second = stage.asked
    assert (first.method, first.path) == ("POST", "/v1/engagements")
    assert first.body == b'[{"id": "e-1"}, {"id": "\xc3\xbc"},{"id": "e-4"}]'
    assert dict(first.headers) == {
        "content-type": "application/json",
        "x-request-id": "t-engagement-events/3@1",
        "authorization": "Bearer hk",
    }
    assert dict(second.headers)["x-api-key"] == "other"
    assert stage.dead() == []


async def test_what_is_refused_is_a_dead_letter_and_the_others_are_stored() -> None:
    """As it came but for its key to us, with the reason that HTTP gives; what is known already is not told again."""
    stage = Stage(lambda request: judged(request, lambda item: {"e-1": 201, "e-2": 422, "e-3": 200}[item["id"]]))
    assert await stage.take(report(1), report(2), report(3)) == {"stored": 1, "repeated": 1, "dead": 1}
    assert stage.dead() == [
        (
            b'{"id": "e-2"}',
            {
                "dead-reason": "It is wrong.",
                "dead-code": "wrong",
                "dead-field": "kind",
                "dead-status": "422",
                "dead-from": "t-engagement-events/3@2",
            },
        )
    ]


@pytest.mark.parametrize("raw", [b"", b"no json", b"\xff", b'{"n": NaN}', b"{}, {}", b"[" * 10_000])
async def test_what_cannot_be_read_spoils_no_request(raw: bytes) -> None:
    """It never comes to the door, where it would take its whole batch with it."""
    stage = Stage()
    assert await stage.take(report(1), report(2, raw)) == {"stored": 1, "dead": 1}
    [(value, headers)] = stage.dead()
    assert (value, headers["dead-code"], headers["dead-status"]) == (raw, "unreadable_report", "400")


@pytest.mark.parametrize("status", [400, 413, 422, 500])
async def test_one_that_spoils_the_whole_request_is_found_and_is_the_only_one_to_die(status: int) -> None:
    """Asked again by halves."""

    def answer(request: Request) -> Response:
        if b"e-6" in request.body:
            return Response(status, json.dumps({"status": status, "code": "bad", "detail": "Bad."}).encode())
        return judged(request)

    stage = Stage(answer)
    assert await stage.take(*(report(number) for number in range(10))) == {"stored": 9, "dead": 1}
    [(value, headers)] = stage.dead()
    assert (value, headers["dead-status"], headers["dead-reason"]) == (b'{"id": "e-6"}', str(status), "Bad.")


@pytest.mark.parametrize("status", [401, 403])
async def test_a_key_that_opens_nothing_kills_all_that_it_was_sent_with(status: int) -> None:
    """Asked once; and the key itself lies on no other topic."""
    stage = Stage(lambda _: Response(status, json.dumps({"status": status, "code": "no_key"}).encode()))
    assert await stage.take(report(1, x_api_key="secret"), report(2, x_api_key="secret")) == {"dead": 2}
    assert len(stage.asked) == 1
    assert all("secret" not in str(letter) for letter in stage.dead())


@pytest.mark.parametrize("status", [409, 503])
async def test_what_may_pass_later_is_waited_for(status: int) -> None:
    """However long: nobody reads an answer here."""
    answers = [Response(status, b"{}", 1.0)] * 30
    stage = Stage(lambda request: answers.pop() if answers else judged(request))
    assert await stage.take(report(1)) == {"stored": 1}
    assert len(stage.asked) == 31
    assert stage.dead() == []


async def test_dead_letters_are_acknowledged_before_the_message_counts_as_read() -> None:
    """One that arrived unacknowledged comes twice rather than never."""
    stage = Stage(lambda request: judged(request, lambda _: 404))
    stage.publisher.failures = ["lost", "unacknowledged"]
    assert await stage.take(report(1)) == {"dead": 1}
    assert [headers["dead-status"] for _, headers in stage.dead()] == ["404", "404"]


async def test_requests_stay_far_below_what_the_door_takes() -> None:
    """By number and by size; the order is kept."""
    stage = Stage()
    large = b'{"id": "' + b"x" * 3_000_000 + b'"}'
    assert await stage.take(*(report(n) for n in range(1_500)), report(1_500, large), report(1_501, large)) == {
        "stored": 1_502
    }
    assert [len(json.loads(request.body)) for request in stage.asked] == [1_000, 501, 1]


def test_a_stretch_is_all_that_was_read() -> None:
    """Nothing of it has an order to keep."""
    messages = [report(1), report(1)]
    assert list(stretches(messages)) == [messages]
    assert list(stretches([])) == []
