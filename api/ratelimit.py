"""Requests per key: a sliding window in memory, reported in standard headers.

Per process: two API processes allow twice as much. Counters of two windows are weighted, which takes constant memory;
a log of each request would hold a million entries per key.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter


@dataclass(frozen=True, slots=True)
class Allowance:
    """Whether a request may pass, and what is left; `reset_s` is when the window is fresh again."""

    allowed: bool
    limit: int
    remaining: int
    reset_s: int

    def headers(self, window_s: int) -> list[tuple[bytes, bytes]]:
        """`RateLimit-*` of the IETF draft, as most clients read them."""
        return [
            (b"ratelimit-limit", b"%d" % self.limit),
            (b"ratelimit-remaining", b"%d" % self.remaining),
            (b"ratelimit-reset", b"%d" % self.reset_s),
            (b"ratelimit-policy", b"%d;w=%d" % (self.limit, window_s)),
        ]


#: Requests are paid for in lots of this share of the limit, so that generous limits cost next to nothing per request.
_LOTS = 10_000


class RateLimiter:
    """At most `requests` per `window_s` seconds and key; 0 requests means no limit at all."""

    def __init__(self, requests: int, window_s: int) -> None:
        self.requests = requests
        self.window_s = window_s
        self._lot = max(1, requests // _LOTS)
        self._item = RateLimitItemPerSecond(requests, window_s)
        self._window = SlidingWindowCounterRateLimiter(MemoryStorage())
        #: Key -> requests paid for and not used yet, what is left besides, and when the window is fresh again.
        self._paid: dict[str, tuple[int, int, float]] = {}

    def take(self, key: str) -> Allowance | None:
        """Count one request of `key`; None when there is no limit."""
        if not self.requests:
            return None
        paid, left, reset_at = self._paid.get(key, (0, 0, 0.0))
        allowed = paid > 0
        if not allowed:
            lot = self._lot if self._window.hit(self._item, key, cost=self._lot) else 0
            if not lot and self._lot > 1:
                lot = int(self._window.hit(self._item, key))
            allowed, paid = lot > 0, lot
            stats = self._window.get_window_stats(self._item, key)
            reset_at, left = stats.reset_time, stats.remaining
        paid -= allowed
        self._paid[key] = paid, left, reset_at
        return Allowance(allowed, self.requests, left + paid, max(0, math.ceil(reset_at - _wall_s())))


def _wall_s() -> float:
    # Rate limits stay on real time whatever the service's clock says; same clock as the library's.
    return time.clock_gettime(time.CLOCK_REALTIME)
