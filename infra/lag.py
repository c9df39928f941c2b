"""For how long the read models have been behind: a look at the log's head each second remembers when it was how long.

Place in the flow: event store -> *here* -> the API's /metrics. Events carry no time of the machine (the service's clock
may be virtual), and the API may not read them; so seconds are measured from outside, to the second.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable

from horae.domain.errors import HoraeError

EVERY_S = 1.0
#: Of a long standstill the first look is the one that counts, and some of the last.
_MOST_LOOKS = 4_096


class LagWatch:
    """`head` asks the event store; `monotonic` gives seconds."""

    def __init__(self, head: Callable[[], Awaitable[int]], monotonic: Callable[[], float]) -> None:
        self._head, self._monotonic = head, monotonic
        self._looks: deque[tuple[int, float]] = deque()

    async def run(self) -> None:
        """Look each second until cancelled; a database that is away tells nothing new."""
        while True:
            with contextlib.suppress(OSError, HoraeError):
                await self.look()
            await asyncio.sleep(EVERY_S)

    async def look(self) -> int:
        """Remember how long the log is now; its head."""
        head = await self._head()
        if not self._looks or head > self._looks[-1][0]:
            self._looks.append((head, self._monotonic()))
        while len(self._looks) > _MOST_LOOKS:
            del self._looks[1]
        return head

    def seconds(self, applied: int) -> float:
        """Since when there has been an event later than `applied`; 0: there is none."""
        while self._looks and self._looks[0][0] <= applied:
            self._looks.popleft()
        return self._monotonic() - self._looks[0][1] if self._looks else 0.0


async def cancelled(task: asyncio.Task[None]) -> None:
    """End a task that runs for ever, and wait for its end."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
