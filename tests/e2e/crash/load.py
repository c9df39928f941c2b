"""Clients that keep creating schedules at a given rate, whatever happens to the service, and remember every yes.

A request that fails is sent again under the same Idempotency-Key until it is acknowledged or the load is called off, as
a careful client would do it. Only acknowledged schedules are promises.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import aiohttp

from tests.e2e.talking import KEY

#: Share of schedules that must never be sent twice.
AT_MOST_ONCE = 0.2


@dataclass(slots=True)
class Acknowledged:
    """What the service said yes to: the schedule's id, and whether it may be repeated."""

    once: dict[UUID, bool] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    retries: int = 0


class Load:
    """`rate` creations a second by `clients` clients; due 1 to 4 seconds later, to any of `channels`."""

    def __init__(self, url: str, *channels: str, rate: float, clients: int = 64, seed: int = 1) -> None:
        self._url, self._channels = url, channels
        self.rate, self._clients = rate, clients
        self._random = random.Random(seed)
        self._tickets: asyncio.Queue[int] = asyncio.Queue(maxsize=clients * 20)
        self._tasks: list[asyncio.Task[None]] = []
        self._calling_off = asyncio.Event()
        self.began = 0.0
        self.acknowledged = Acknowledged()
        self.seconds = 0.0

    async def __aenter__(self) -> Load:
        self.began = time.monotonic()
        session = aiohttp.ClientSession(
            self._url,
            headers={"Authorization": f"Bearer {KEY}"},
            timeout=aiohttp.ClientTimeout(total=10),
            connector=aiohttp.TCPConnector(limit=0),
        )
        self._session = session
        self._tasks = [
            asyncio.create_task(self._tick()),
            *(asyncio.create_task(self._client()) for _ in range(self._clients)),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Call off: no new requests, those under way are finished while the service lives."""
        self._calling_off.set()
        self.seconds = time.monotonic() - self.began
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._session.close()
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _tick(self) -> None:
        """One ticket per creation, at the rate; a full queue (the service is down) makes the clock wait, not forget."""
        number = 0
        while not self._calling_off.is_set():
            due = self.began + number / self.rate
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, due - time.monotonic())):
                    await self._calling_off.wait()
            if self._calling_off.is_set():
                break
            await self._tickets.put(number)
            number += 1
        for _ in range(self._clients):
            await self._tickets.put(-1)

    async def _client(self) -> None:
        while (number := await self._tickets.get()) >= 0:
            await self._create(number)

    async def _create(self, number: int) -> None:
        once = self._random.random() < AT_MOST_ONCE
        mode = "at_most_once" if once else "at_least_once"
        body: dict[str, Any] = {
            "recipient": f"user-{number % 5000}",
            "channel": self._random.choice(self._channels),
            "content": {"number": number},
            "timing": {"kind": "in", "delay": f"PT{self._random.randint(1, 4)}S"},
            "priority": self._random.randint(1, 5),
            "delivery": {"mode": mode, "retry": {"retries": 10, "delay": "PT1S"}},
        }
        headers = {"Idempotency-Key": f"load-{number}"}
        while True:
            try:
                async with self._session.post("/v1/schedules", json=body, headers=headers) as response:
                    if response.status == 201:
                        self.acknowledged.once[UUID((await response.json())["id"])] = once
                        return
                    if response.status < 500 and response.status != 429:
                        self.acknowledged.refused.append(f"{response.status} {await response.text()}")
                        return
            except (aiohttp.ClientError, TimeoutError, ConnectionError):
                pass
            self.acknowledged.retries += 1
            if self._calling_off.is_set():
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await self._calling_off.wait()
