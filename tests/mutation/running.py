"""Runs a command to its end, however long a crowded machine makes it take, unless it stands still.

Progress is processor time, of the command and of everything below it: it does not grow when others have the machine,
and does not stop growing while anything is being done.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.harness import descendants

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_LOOK_EVERY_S = 2.0


class Stuck(Exception):
    """The command waited for something that did not come, or went round in circles."""


@dataclass(slots=True)
class Standstill:
    """Tells progress from standstill. Times are seconds."""

    #: Without `least_s` of processor time for so long nothing is being done; a starved process gets that much.
    patience_s: float = 300.0
    least_s: float = 0.2
    #: No run needs so much of it.
    most_s: float = 3_000.0
    _since: float | None = None
    _used_s: float = 0.0

    def stands(self, now: float, used_s: float) -> bool:
        """Told the processor time used until `now`, by a clock that never goes back: is it stuck?"""
        if self._since is None or used_s - self._used_s >= self.least_s:
            self._since, self._used_s = now, used_s
        return used_s > self.most_s or now - self._since >= self.patience_s


def run(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    standstill: Standstill | None = None,
    look_every_s: float = _LOOK_EVERY_S,
) -> subprocess.CompletedProcess[str]:
    """Run it in `folder`. Raises `Stuck` with what it said, after killing it and all below it."""
    still = standstill or Standstill()
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while True:
        try:
            out, err = process.communicate(timeout=look_every_s)
        except subprocess.TimeoutExpired:
            used_s = processor_s(process.pid)
            if still.stands(time.monotonic(), used_s):
                kill(process.pid)
                out, err = process.communicate()
                said = f"{out[-2_000:]}{err[-2_000:]}"
                raise Stuck(f"{' '.join(command)}: {used_s:.0f} s of processor time\n{said}") from None
        else:
            return subprocess.CompletedProcess(command, process.returncode, out, err)


def processor_s(pid: int) -> float:
    """Of a process, of all below it, and of those that have ended and were waited for."""
    ticks = 0
    for each in (pid, *descendants(pid)):
        with contextlib.suppress(OSError, IndexError):
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / _TICKS_PER_S


def kill(pid: int) -> None:
    """It, and all below it."""
    for each in (*descendants(pid), pid):
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)
