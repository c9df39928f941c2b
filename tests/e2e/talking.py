"""Talking to an installation over HTTP as a client does, whatever processes it is made of."""

from __future__ import annotations

import asyncio
import contextlib
import json
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import httpx

#: Bounds only what never comes: less than a test's own bound, so that it says what was awaited. On a slow disk three
#: starting brokers have kept each other from taking anything for a minute.
PATIENCE_S = 110.0
KEY = "hk_test-key-of-the-default-tenant"


class Talking(ABC):
    """Whoever has an API that `KEY` opens."""

    @property
    @abstractmethod
    def url(self) -> str:
        """Where the API listens."""

    @abstractmethod
    def tail(self, lines: int = 60) -> str:
        """The end of what its processes logged, for messages."""

    def client(self, key: str = KEY, **options: Any) -> httpx.AsyncClient:
        """A client with this key."""
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=PATIENCE_S, **options)

    async def events(self, *, after: int = 0, key: str = KEY) -> AsyncIterator[dict[str, Any]]:
        """The events after a position, as they come, from the stream; goes on where it was when a connection breaks."""
        position = after
        while True:
            with contextlib.suppress(httpx.TransportError):
                async with self.client(key) as client:
                    request = client.stream("GET", "/v1/events", headers={"Last-Event-ID": str(position)})
                    async with request as response:
                        async for name, identity, data in _server_sent(response):
                            if identity:
                                position = int(identity)
                            if data:
                                yield {"event": name, "position": position} | json.loads(data)

    async def until(
        self, wanted: Callable[[dict[str, Any]], bool], count: int = 1, *, after: int = 0, within_s: float = PATIENCE_S
    ) -> list[Any]:
        """The first `count` events that `wanted` accepts. Raises `AssertionError` with the log if they do not come."""
        found: list[dict[str, Any]] = []
        stream = self.events(after=after)
        try:
            async with asyncio.timeout(within_s):
                async for event in stream:
                    if wanted(event):
                        found.append(event)
                    if len(found) == count:
                        return found
        except TimeoutError:
            raise AssertionError(f"only {len(found)} of {count} events came:\n{self.tail()}") from None
        finally:
            await stream.aclose()  # type: ignore[attr-defined]
        raise AssertionError("the stream ended")

    async def create(self, client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
        """Create a schedule (default: now, to `log:`), and the answer."""
        body = {"recipient": "user-1", "channel": "log:", "content": {"n": 1}, "timing": {"kind": "now"}} | fields
        response = await client.post("/v1/schedules", json=body, headers={"Idempotency-Key": str(uuid4())})
        assert response.status_code == 201, f"{response.text}\n{self.tail()}"
        answer: dict[str, Any] = response.json()
        return answer


async def _server_sent(response: httpx.Response) -> AsyncIterator[tuple[str, str, str]]:
    name, identity, data = "message", "", ""
    async for line in response.aiter_lines():
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "event":
                name = value
            case "id":
                identity = value
            case "data":
                data += value
            case "" if not line:
                yield name, identity, data
                name, identity, data = "message", "", ""
