"""Carries out commands that come by Kafka: each as the request over HTTP that it stands for, with a reply.

Place in the flow: `schedule-commands` -> *here* -> the API's own door -> log; -> `schedule-command-replies`, and
`schedule-commands-dead` for what could never be carried out. Behind the door everything is as over HTTP: key, scope,
tenant, limits, validation, idempotency, problem documents. Nothing here knows what a schedule is.

At least once: a message counts as read when its reply lies on the topic. What is read again gets the same answer,
because every command has an idempotency key. Whatever is busy or away is waited for; nothing is lost, and no command
is declared dead, for want of PostgreSQL or Kafka.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pydantic import ValidationError

from horae.streams.commandshape import (
    DONE_TYPE,
    REFUSED_TYPE,
    Command,
    Done,
    Reply,
    UnreadableCommand,
    read_command,
)
from horae.streams.deadletters import LARGEST, cut, dead_letter
from horae.streams.inputs import FOR_EVER, Door, Errand, Pause, Received, Request, Response
from horae.streams.relay import Message, Publisher
from horae.streams.topics import Topics

#: Commands under way at once.
_AT_ONCE = 100
#: Longer names are no correlation, but a load.
_ECHOED = 512
#: Bytes; beside it there are the headers, all of them short.
_LARGEST_REPLY = LARGEST - 20_000
#: What a problem document is known by; the rest of it may be as long as the command.
_OF_A_PROBLEM = ("type", "title", "status", "detail", "instance", "request_id", "code", "field", "hint")


def runs(messages: Iterable[Received]) -> Iterator[list[Received]]:
    """The messages in stretches in which no key comes twice, so that each may be carried out all at once.

    The next stretch begins when the one before is answered and counts as read. So the commands of a key keep their
    order also when they come again: what is read again is never older than what was carried out. Messages without a
    key have no order among themselves.
    """
    run: list[Received] = []
    keys: set[bytes] = set()
    for message in messages:
        if message.key is not None and message.key in keys:
            yield run
            run, keys = [], set()
        run.append(message)
        if message.key is not None:
            keys.add(message.key)
    if run:
        yield run


class Commanding:
    """Takes stretches of messages; see `runs`. `key_header`: where the API key may stand beside `authorization`."""

    def __init__(
        self,
        door: Door,
        publisher: Publisher,
        topics: Topics,
        *,
        key_header: str = "X-API-Key",
        pause: Pause = asyncio.sleep,
    ) -> None:
        self._errand, self._topics = Errand(door, publisher, pause), topics
        self._key_header = key_header
        self._secret = frozenset({"authorization", key_header.lower()})
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def take(self, messages: Sequence[Received]) -> Counter[str]:
        """Carry them out at once and return when every reply and dead letter is on its topic; counts by result.

        Raises nothing but when cancelled: then some of it may be done, and all of it may be taken again.
        """
        results = await asyncio.gather(*(self._carry_out(message) for message in messages))
        said: list[Message] = []
        counts: Counter[str] = Counter()
        for message, reply in zip(messages, results, strict=True):
            said.append(self._reply(message, reply))
            counts["done" if reply.problem is None else "refused"] += 1
            if reply.status in FOR_EVER:
                said.append(self._dead_letter(message, reply))
                counts["dead"] += 1
        await self._errand.tell(said)
        return counts

    # --- one command --------------------------------------------------------------------------------------------------

    async def _carry_out(self, message: Received) -> Reply:
        try:
            command = read_command(message.value)
        except UnreadableCommand as error:
            return _unreadable(message, error)
        async with self._slots:
            response = await self._errand.answered(self._request(message, command))
        return _reply_of(message, command, response)

    def _request(self, message: Received, command: Command) -> Request:
        headers = {
            "content-type": "application/json",
            "idempotency-key": command.idempotency_key or command.id or f"{message.place}#{message.timestamp_ms}",
            "x-request-id": message.place,
        }
        for name in ("authorization", self._key_header, "traceparent", "tracestate"):
            given = message.header(name)
            if given is not None:
                headers[name.lower()] = given
        if command.expect_version is not None:
            headers["if-match"] = f'"{command.expect_version}"'
        body = json.dumps(command.body, ensure_ascii=False, separators=(",", ":")).encode()
        return Request(command.method, command.path, tuple(headers.items()), body)

    # --- what is said of it -------------------------------------------------------------------------------------------

    def _reply(self, message: Received, reply: Reply) -> Message:
        headers = {
            "command-id": reply.id,
            "status": str(reply.status),
            "in-reply-to": message.place,
            "content-type": "application/json",
            "ce_specversion": "1.0",
            "ce_id": message.place,
            "ce_source": "/horae/commands",
            "ce_type": DONE_TYPE if reply.problem is None else REFUSED_TYPE,
        }
        for name in ("correlation-id", "traceparent"):
            given = message.header(name)
            if given is not None and len(given) <= _ECHOED:
                headers[name] = given
        value = reply.model_dump_json(exclude_none=True).encode()
        if len(value) > _LARGEST_REPLY and reply.problem is not None:
            value = _shortened(reply).model_dump_json(exclude_none=True).encode()
        return Message(self._topics.replies, reply.id.encode("utf-8", "replace"), value, _encoded(headers))

    def _dead_letter(self, message: Received, reply: Reply) -> Message:
        """The message as it came, but for its key to us, with the reason."""
        problem = reply.problem or {}
        why = {
            "dead-reason": str(problem.get("detail", "")),
            "dead-code": str(problem.get("code", "")),
            "dead-field": str(problem.get("field", "")),
            "dead-status": str(reply.status),
            "dead-from": message.place,
        }
        return dead_letter(self._topics.dead, message, why, self._secret)


def _unreadable(message: Received, error: UnreadableCommand) -> Reply:
    problem: dict[str, Any] = {
        "type": "urn:horae:problem:unreadable_command",
        "title": "The command cannot be read",
        "status": 400,
        "detail": str(error),
        "instance": message.place,
        "code": "unreadable_command",
        "field": error.field,
        "hint": 'Send {"id": "...", "command": "pause", "schedule": "UUID"}; docs/asyncapi.yaml has all of it.',
    }
    problem = {name: member for name, member in problem.items() if member is not None}
    return Reply(id=error.name or message.place, status=400, problem=problem)


def _shortened(reply: Reply) -> Reply:
    """What is left of a problem that repeats too much of a command: its texts are cut, lists and objects left out."""
    problem = reply.problem or {}
    kept = {name: problem[name] for name in _OF_A_PROBLEM if isinstance(problem.get(name), str | int)}
    short = {name: cut(value) if isinstance(value, str) else value for name, value in kept.items()}
    return reply.model_copy(update={"problem": {**short, "truncated": True}})


def _reply_of(message: Received, command: Command, response: Response) -> Reply:
    name = command.id or message.place
    try:
        found = json.loads(response.body)
        if response.status < 300:
            done = Done.model_validate({"schedule": found.get("id", found.get("schedule")), **found})
            return Reply(id=name, command=command.command, status=response.status, done=done)
        problem = {**found, "instance": message.place}
    except (ValueError, TypeError, AttributeError, ValidationError):
        problem = {"title": "Internal error", "status": response.status, "instance": message.place, "code": "internal"}
    return Reply(id=name, command=command.command, status=response.status, problem=problem)


def _encoded(headers: dict[str, str]) -> list[tuple[str, bytes]]:
    return [(name, text.encode("utf-8", "replace")) for name, text in headers.items()]
