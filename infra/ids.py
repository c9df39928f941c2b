"""New identifiers: UUIDv7 from the machine's clock, strictly ascending within a process.

Place in the flow: given to commands as their `Ids` port. Ids are never business time: they follow the real clock even
where the service's is virtual.
"""

from __future__ import annotations

import secrets
import threading
import time
from uuid import UUID

from horae.domain.ids import uuid7_of

_PER_MS = 1 << 12
#: Random bytes are taken from the system by the page: a system call per id can cost more than all the rest of it.
_PAGE = 4096
_PER_ID = 10
_LOW_68 = (1 << 68) - 1


class NewIds:
    """Thread-safe; the 12 bits after the milliseconds count within one, as RFC 9562 §6.2 suggests."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ms = 0
        self._count = 0
        self._random = b""
        self._used = 0

    def new(self) -> UUID:
        """An id that sorts after every earlier one of this process."""
        with self._lock:
            random = self._draw()
            now_ms = time.time_ns() // 1_000_000
            if now_ms > self._ms:
                self._ms, self._count = now_ms, random >> 72
            else:
                self._count += 1
                if (
                    self._count == _PER_MS
                ):  # more than the clock can tell apart, or it went back: borrow from the future
                    self._ms, self._count = self._ms + 1, 0
            ms, count = self._ms, self._count
        return uuid7_of(ms, count << 68 | random & _LOW_68)

    def _draw(self) -> int:
        """80 random bits, each used once."""
        if self._used + _PER_ID > len(self._random):
            self._random, self._used = secrets.token_bytes(_PAGE), 0
        drawn = self._random[self._used : self._used + _PER_ID]
        self._used += _PER_ID
        return int.from_bytes(drawn, "big")
