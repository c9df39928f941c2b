"""What others send us by Kafka, whatever it is: messages on their way to the API's own door, and how it is asked.

Place in the flow: an input topic -> `infra/kafka/reading.py` -> *here* -> door; `commanding.py` and `engaging.py` say
what a message asks for, and what is said of it. Whatever is busy or away is waited for: nothing is lost, and nothing
is declared dead, for want of PostgreSQL or Kafka.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass

import structlog

from horae.streams.relay import Message, Publisher, Undelivered

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.1, 5.0
#: An error that nobody foresaw may be a moment's; one that comes so often is the message's.
_TRIES_OF_A_POISON = 3
#: Refusals that are the message's own fault, whatever the present state of things.
#: (Not found, conflict, changed meanwhile and too many requests are answers: the same may pass later.)
FOR_EVER = frozenset({400, 401, 403, 413, 415, 422, 500})
_BUSY = frozenset({503})

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Received:
    """One message of an input topic."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()

    @property
    def place(self) -> str:
        """Names it among all messages; what it causes has this for its request id."""
        return f"{self.topic}/{self.partition}@{self.offset}"

    def header(self, name: str) -> str | None:
        """The last header of that name, in any case; None: there is none, or it is no text."""
        for given, value in reversed(self.headers):
            if given.lower() == name.lower():
                try:
                    return value.decode("ascii")
                except UnicodeDecodeError:
                    return None
        return None


@dataclass(frozen=True, slots=True)
class Request:
    """What the door is asked."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """What it answers."""

    status: int
    body: bytes
    #: Of the header Retry-After.
    retry_after_s: float | None = None


Door = Callable[[Request], Awaitable[Response]]
"""The API, without a socket. An exception counts as a 500."""

Pause = Callable[[float], Awaitable[None]]


class Errand:
    """Asks at the door until there is an answer, and tells the topics until they have it."""

    def __init__(self, door: Door, publisher: Publisher, pause: Pause = asyncio.sleep) -> None:
        self._door, self._publisher, self._pause = door, publisher, pause

    async def answered(self, request: Request, busy: Collection[int] = _BUSY) -> Response:
        """The door's word, whatever time it takes to have one; `busy`: statuses that are none."""
        wait_s, failures = _FIRST_WAIT_S, 0
        while True:
            response = await self._asked(request)
            if response.status in busy:
                await self._pause(min(max(wait_s, response.retry_after_s or 0.0), _LONGEST_WAIT_S))
            elif response.status >= 500:
                failures += 1
                if failures == _TRIES_OF_A_POISON:
                    return response
                await self._pause(wait_s)
            else:
                return response
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    async def _asked(self, request: Request) -> Response:
        try:
            return await self._door(request)
        except Exception:
            log.exception("request_failed", path=request.path)
            return Response(500, b"")

    async def tell(self, said: Sequence[Message]) -> None:
        """Return when all of it is acknowledged, however long that takes."""
        wait_s = _FIRST_WAIT_S
        while said:
            try:
                await self._publisher.publish(said)
            except Undelivered as error:
                log.warning("replies_wait", error=str(error), replies=len(said))
                await self._pause(wait_s)
                wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
            else:
                return
