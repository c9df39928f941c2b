"""Named points at which a crash test can stop a worker dead: off unless HORAE_FAULT names one.

`HORAE_FAULT=claim_committed:3` hangs the third attempt that reaches the point *claim committed, not sent* (`sent`:
*sent, not recorded*) and those after it, and writes the point's name and its own pid to HORAE_FAULT_FILE, so that the
test knows when and whom. `HORAE_FAULT=@FILE` stands for what FILE holds when a worker begins to work.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Point = Literal["claim_committed", "sent"]


@dataclass(slots=True)
class Faults:
    """Where to hang, after how many passages. The default never does."""

    point: str | None = None
    after: int = 1
    marker: Path | None = None
    _passed: int = field(default=0, init=False)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Faults:
        """Raises ValueError for a point that does not exist."""
        setting = environment.get("HORAE_FAULT", "")
        if setting.startswith("@"):
            setting = Path(setting[1:]).read_text(encoding="utf-8").strip()
        if not setting:
            return cls()
        point, _, after = setting.partition(":")
        if point not in ("claim_committed", "sent"):
            raise ValueError(f"HORAE_FAULT={setting!r}: use claim_committed[:N] or sent[:N]")
        marker = environment.get("HORAE_FAULT_FILE")
        return cls(point, int(after or 1), Path(marker) if marker else None)

    async def at(self, point: Point) -> None:
        """Pass, or hang for ever."""
        if self.point != point:
            return
        self._passed += 1
        if self._passed >= self.after:
            if self.marker is not None:
                self.marker.write_text(f"{point} {os.getpid()}\n", encoding="utf-8")
            await asyncio.Event().wait()
