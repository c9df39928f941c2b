"""Takes in engagement that comes by Kafka: as `POST /v1/engagements` takes it, by the batch of one API key.

Place in the flow: `engagement-events` -> *here* -> the API's own door -> log; -> `engagement-events-dead` for what was
refused. A message is one report, its id the reporter's own, so that what is read again is stored once. There are no
replies: nobody waits for one, and thousands a second would need as many. So whatever is refused is a dead letter,
and what may pass later (a conflict, anything away) is waited for.

No key's rate limit counts on this road: the reader goes at its own pace, a few requests at once, so there is nothing to
guard, while a key that had to wait for its turn would hold up everybody behind it on the partition.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pydantic_core import from_json

from horae.streams.deadletters import dead_letter
from horae.streams.inputs import Door, Errand, Pause, Received, Request
from horae.streams.relay import Message, Publisher
from horae.streams.topics import Topics

#: Reports in one request, and bytes of them; the door takes ten times as much.
_MOST, _LARGEST = 1_000, 4_000_000
#: Requests under way at once: each of another API key.
_AT_ONCE = 8
#: No answers here, where nobody reads any.
_BUSY = frozenset({409, 503})
#: What these are said of is the key, whatever it asks for.
_OF_THE_KEY = frozenset({401, 403})
_UNREADABLE = {"status": 400, "code": "unreadable_report", "detail": "The message is not JSON."}
_UNANSWERED = {"status": 500, "code": "internal", "detail": "It could not be judged."}


def stretches(messages: Iterable[Received]) -> Iterator[list[Received]]:
    """All of it at once: reports come in any order, and again, without harm."""
    found = list(messages)
    if found:
        yield found


class Engaging:
    """Takes stretches of messages. `key_header`: where the API key may stand beside `authorization`."""

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
        self._headers = ("authorization", key_header.lower())
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def take(self, messages: Sequence[Received]) -> Counter[str]:
        """Return when every report is in the log or a dead letter on its topic; counts by result.

        Raises nothing but when cancelled: then some of it may be done, and all of it may be taken again.
        """
        counts: Counter[str] = Counter()
        letters: list[Message] = []
        by_key: dict[tuple[tuple[str, str], ...], list[Received]] = {}
        for message in messages:
            if _is_json(message.value):
                by_key.setdefault(self._credentials(message), []).append(message)
            else:
                letters.append(self._letter(message, _UNREADABLE))
        judged = await asyncio.gather(
            *(self._judged(key, portion) for key, found in by_key.items() for portion in _portions(found))
        )
        for message, item in (pair for portion in judged for pair in portion):
            if item["status"] < 300:
                counts["stored" if item["status"] == 201 else "repeated"] += 1
            else:
                letters.append(self._letter(message, item.get("error") or item))
        if letters:
            counts["dead"] = len(letters)
        await self._errand.tell(letters)
        return counts

    def _credentials(self, message: Received) -> tuple[tuple[str, str], ...]:
        given = ((name, message.header(name)) for name in self._headers)
        return tuple((name, text) for name, text in given if text is not None)

    async def _judged(
        self, key: tuple[tuple[str, str], ...], portion: Sequence[Received]
    ) -> list[tuple[Received, dict[str, Any]]]:
        async with self._slots:
            return await self._asked(key, portion)

    async def _asked(
        self, key: tuple[tuple[str, str], ...], portion: Sequence[Received]
    ) -> list[tuple[Received, dict[str, Any]]]:
        """Each message with what became of it, as the answer of HTTP tells it of each report."""
        response = await self._errand.answered(_request(key, portion), _BUSY)
        answer = _read(response.body)
        if response.status == 200 and len(answer.get("items", ())) == len(portion):
            return list(zip(portion, answer["items"], strict=True))
        if len(portion) > 1 and response.status not in _OF_THE_KEY:
            # One of them is the matter, and no other shall suffer for it.
            half = len(portion) // 2
            return [*await self._asked(key, portion[:half]), *await self._asked(key, portion[half:])]
        problem = {**_UNANSWERED, **answer, "status": max(response.status, 400)}
        return [(message, problem) for message in portion]

    def _letter(self, message: Received, problem: dict[str, Any]) -> Message:
        why = {
            "dead-reason": str(problem.get("detail") or ""),
            "dead-code": str(problem.get("code") or ""),
            "dead-field": str(problem.get("field") or ""),
            "dead-status": str(problem["status"]),
            "dead-from": message.place,
        }
        return dead_letter(self._topics.dead_engagement, message, why, self._headers)


def _request(key: tuple[tuple[str, str], ...], portion: Sequence[Received]) -> Request:
    headers = {"content-type": "application/json", "x-request-id": portion[0].place, **dict(key)}
    traces = {message.header("traceparent") for message in portion}
    if len(traces) == 1 and (trace := traces.pop()) is not None:
        headers["traceparent"] = trace
    # Word for word as they came: what is odd about one is judged by the door, as over HTTP.
    body = b"[" + b",".join(message.value or b"" for message in portion) + b"]"
    return Request("POST", "/v1/engagements", tuple(headers.items()), body)


def _portions(messages: Sequence[Received]) -> Iterator[list[Received]]:
    portion: list[Received] = []
    size = 0
    for message in messages:
        size += len(message.value or b"")
        if portion and (len(portion) == _MOST or size > _LARGEST):
            yield portion
            portion, size = [], len(message.value or b"")
        portion.append(message)
    yield portion


def _is_json(value: bytes | None) -> bool:
    try:
        from_json(value or b"", allow_inf_nan=False)
    except ValueError:
        return False
    return True


def _read(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
