"""Turns at work that takes a thread for long: so many at a time, so many wait, and who comes then is told to come back.

Place in the flow: a route -> `Turns.turn` -> `asyncio.to_thread`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from horae.domain.errors import Busy


class Turns:
    """`at_once` are at work and `waiting` wait, in the order in which they came."""

    def __init__(self, at_once: int, waiting: int) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._most, self._inside = at_once + waiting, 0

    @asynccontextmanager
    async def turn(self, what: str) -> AsyncIterator[None]:
        """Within it the work may be done; `what` says of what. Raises `Busy` where as many wait as may."""
        if self._inside >= self._most:
            raise Busy(f"{self._inside} {what} are read already, or wait for it.", retry_after_s=5.0)
        self._inside += 1
        try:
            async with self._free:
                yield
        finally:
            self._inside -= 1
