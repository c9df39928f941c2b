"""Knows a process again later: a pid alone may belong to another program by then.

Place in the flow: written beside a server by whoever starts it; read by the next start and by `horae stack down`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

_PROC: Final = Path("/proc")


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process by its id and the moment it started, in the system's own words."""

    pid: int
    started: str

    @classmethod
    def of(cls, pid: int) -> Self | None:
        """None when there is no such process (an ended one that nobody has waited for counts as none)."""
        started = _started(pid)
        return None if started is None else cls(pid, started)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """What `write` left; None when it left nothing that can be read."""
        try:
            pid, started = path.read_text(encoding="utf-8").split("\n")[:2]
            return cls(int(pid), started)
        except (OSError, ValueError):
            return None

    def write(self, path: Path) -> None:
        """Keep it in a file."""
        path.write_text(f"{self.pid}\n{self.started}\n", encoding="utf-8")

    @property
    def alive(self) -> bool:
        """Whether this very process runs."""
        return _started(self.pid) == self.started

    def send(self, number: signal.Signals, *, to_group: bool = False) -> None:
        """Signal it, or all of its group; nothing happens when it is gone."""
        if not self.alive:
            return
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if to_group else os.kill)(self.pid, number)


def _started(pid: int) -> str | None:
    if not _PROC.is_dir():
        return _started_by_ps(pid)
    try:
        said = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name in parentheses may hold anything, so count from its end: state is the first, start the 20th.
    fields = said.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else fields[19]


def _started_by_ps(pid: int) -> str | None:
    """Where there is no /proc, as on macOS."""
    done = subprocess.run(  # noqa: S603
        ["/bin/ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    state, _, started = done.stdout.strip().partition(" ")
    return None if not state or state.startswith("Z") else started.strip()
