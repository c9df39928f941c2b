"""Faults of the relay, for chaos tests: off unless HORAE_RELAY_FAULT says otherwise.

`drop=0.01,duplicate=0.02,seed=7` loses and doubles records of `horae-log` by chance (marks and public copies are
spared); `hang_after_send=N` hangs when the Nth batch is acknowledged and the position not moved yet, and writes
`batch_sent` and the pid to HORAE_FAULT_FILE, as `faults.py` does.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(slots=True)
class RelayFaults:
    """What goes wrong. The default: nothing."""

    drop: float = 0.0
    duplicate: float = 0.0
    seed: int = 0
    hang_after_send: int | None = None
    marker: Path | None = None
    #: How many records were lost and doubled so far.
    dropped: int = field(default=0, init=False)
    duplicated: int = field(default=0, init=False)
    _sent: int = field(default=0, init=False)
    _chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        """The same seed gives the same faults."""
        self._chance = random.Random(self.seed)  # noqa: S311 - chance for a test, not a secret

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> RelayFaults:
        """Raises ValueError for a setting that it does not know."""
        text = environment.get("HORAE_RELAY_FAULT", "")
        if not text:
            return cls()
        marker = environment.get("HORAE_FAULT_FILE")
        faults = cls(marker=Path(marker) if marker else None)
        for part in text.split(","):
            key, _, value = part.strip().partition("=")
            match key:
                case "drop" | "duplicate":
                    setattr(faults, key, float(value))
                case "seed" | "hang_after_send":
                    setattr(faults, key, int(value))
                case _:
                    raise ValueError(f"HORAE_RELAY_FAULT={text!r}: use drop=, duplicate=, seed=, hang_after_send=")
        faults.__post_init__()
        return faults

    def copies(self) -> int:
        """How often the next record is sent: once, unless it is to be lost or doubled."""
        if not self.drop and not self.duplicate:
            return 1
        drawn = self._chance.random()
        if drawn < self.drop:
            self.dropped += 1
            return 0
        if drawn < self.drop + self.duplicate:
            self.duplicated += 1
            return 2
        return 1

    async def batch_sent(self) -> None:
        """Pass, or hang for ever."""
        self._sent += 1
        if self.hang_after_send is not None and self._sent >= self.hang_after_send:
            if self.marker is not None:
                self.marker.write_text(f"batch_sent {os.getpid()}\n", encoding="utf-8")
            await asyncio.Event().wait()
