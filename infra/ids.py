"""New identifiers: UUIDv7 from the machine's clock, strictly ascending within a process.

Place in the flow: given to commands as their `Ids` port. Ids are never business time: they follow the real clock even
where the service's is virtual.
"""

from __future__ import annotations

import secrets
import threading
import time
from uuid import UUID

from horae.domain.ids import uuid7

_PER_MS = 1 << 12


class NewIds:
    """Thread-safe; the 12 bits after the milliseconds count within one, as RFC 9562 §6.2 suggests."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ms = 0
        self._count = 0

    def new(self) -> UUID:
        """An id that sorts after every earlier one of this process."""
        with self._lock:
            now_ms = time.time_ns() // 1_000_000
            if now_ms > self._ms:
                self._ms, self._count = now_ms, secrets.randbits(8)
            else:
                self._count += 1
                if (
                    self._count == _PER_MS
                ):  # more than the clock can tell apart, or it went back: borrow from the future
                    self._ms, self._count = self._ms + 1, 0
            ms, count = self._ms, self._count
        randomness = (count << 68 | secrets.randbits(68)).to_bytes(10, "big")
        return uuid7(ms, randomness)
