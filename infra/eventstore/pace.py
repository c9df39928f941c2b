"""How closely commits and reads of the log follow each other under load.

Place in the flow: the writer waits before it takes the next commit, the subscription before its next read.
A commit or a batch costs about the same whether it holds one thing or thirty, so where things come quickly it pays to
let a few gather. A turn that brought `n` things holds back the next until `n * each_s` after its own beginning, at most
`longest_s`: what comes alone is never held back noticeably, and what comes faster than one per `each_s` makes the turns
grow until one is taken every `longest_s`.
"""

from __future__ import annotations

import time
from collections.abc import Callable


class Pace:
    """For one thread. `each_s`, `longest_s`: seconds."""

    def __init__(
        self,
        each_s: float,
        longest_s: float,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._each_s, self._longest_s = each_s, longest_s
        self._now, self._sleep = now, sleep
        self._began = 0.0
        self._next = 0.0

    def wait(self) -> None:
        """Block until the next turn may begin."""
        wait_s = self._next - self._now()
        if wait_s > 0:
            self._sleep(min(wait_s, self._longest_s))

    def begin(self) -> None:
        """The turn begins now."""
        self._began = self._now()

    def brought(self, count: int) -> None:
        """The turn brought so many things."""
        self._next = self._began + min(count * self._each_s, self._longest_s)
