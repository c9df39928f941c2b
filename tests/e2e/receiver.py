"""A real HTTP server for webhooks: records what comes in, answers as told, and lets tests await it."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web

#: As `talking.PATIENCE_S`.
PATIENCE_S = 110.0


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def occurrence(self) -> str:
        """The id of the message: the occurrence's."""
        return self.headers["webhook-id"]


@dataclass(slots=True)
class Answer:
    """How to answer one request. `hold`: only when this event is set; `drop`: break the connection instead."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    hold: asyncio.Event | None = None
    drop: bool = False


class Receiver:
    """Listens on a free port of 127.0.0.1. Scripted answers are used up first, then `default` answers."""

    def __init__(self) -> None:
        self.requests: list[Received] = []
        self.default = Answer()
        self._script: deque[Answer] = deque()
        self._changed = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=16 * 2**20)
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        for answer in self._script:
            if answer.hold is not None:
                answer.hold.set()
        if self.default.hold is not None:
            self.default.hold.set()
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def channel(self) -> str:
        """What a schedule names to reach this receiver."""
        return self.at("hook")

    def at(self, path: str) -> str:
        """A channel to another path of this receiver."""
        return f"webhook:http://127.0.0.1:{self.port}/{path}"

    def script(self, *answers: Answer | int) -> None:
        """Answer the next requests so, one after the other; a number is a status."""
        self._script.extend(Answer(status=answer) if isinstance(answer, int) else answer for answer in answers)

    async def received(self, count: int, *, where: Callable[[Received], bool] = lambda _: True) -> list[Received]:
        """At least `count` requests that `where` accepts, as soon as they are here. Raises `TimeoutError` at last."""

        def matching() -> list[Received]:
            return [request for request in self.requests if where(request)]

        async with asyncio.timeout(PATIENCE_S), self._changed:
            await self._changed.wait_for(lambda: len(matching()) >= count)
            return matching()

    def note(self, received: Received) -> None:
        """Remember a request; a test of many may count instead."""
        self.requests.append(received)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        received = Received(request.path, {k.lower(): v for k, v in request.headers.items()}, await request.read())
        answer = self._script.popleft() if self._script else self.default
        async with self._changed:
            self.note(received)
            self._changed.notify_all()
        if answer.hold is not None:
            await answer.hold.wait()
        if answer.drop:
            assert request.transport is not None
            request.transport.close()
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)
