"""One process of a house: kept running, and killed, frozen or given another environment when a test wants that."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from horae.infra.processes.forks import Forked, Forks
from tests.e2e.stack.forking import Errand
from tests.e2e.talking import PATIENCE_S

ROOT = Path(__file__).resolve().parents[3]
#: After an end that we did not cause, so that what cannot start does not take the machine.
_PAUSE_S = 0.5


def command(arguments: tuple[str, ...]) -> list[str]:
    """What runs `horae ARGUMENTS` as our child that ends with us."""
    return [sys.executable, "-m", "tests.e2e.stack.tied", str(os.getpid()), *arguments]


@dataclass(slots=True)
class Part:
    """`horae ARGUMENTS`, forked by `forks` and started again at once whenever it ends, until `stop`.

    `base` gives the environment of each start; `environment` is added to it. Everything it says goes to `log`.
    """

    name: str
    arguments: tuple[str, ...]
    forks: Forks
    base: Callable[[], Mapping[str, str]]
    log: Path
    #: Holds from the next start.
    environment: dict[str, str] = field(default_factory=dict)
    #: Exit codes of ends that no test caused.
    surprises: list[int] = field(default_factory=list)
    starts: int = 0
    _process: Forked | None = None
    _keeping: asyncio.Task[None] | None = None
    _started: asyncio.Event = field(default_factory=asyncio.Event)
    _leaving: asyncio.Event = field(default_factory=asyncio.Event)
    #: Pids that a test has ended.
    _ended: set[int] = field(default_factory=set)

    @property
    def pid(self) -> int:
        """Of the process that runs, or ran last."""
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Frozen counts as running."""
        return self._process is not None and not self._process.ended

    async def start(self) -> None:
        """Start it, and keep it running; returns when there is a process. Does nothing when it is kept already."""
        if self._keeping is not None:
            return
        self._leaving.clear()
        self._started.clear()
        self._keeping = asyncio.create_task(self._keep(), name=f"keep-{self.name}")
        await self._started.wait()

    async def kill(self) -> int:
        """SIGKILL, and return its pid when it is gone; another is started at once, unless it was stopped."""
        return await self.end(signal.SIGKILL)

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal it and return its pid when it is gone; another is started at once."""
        process = self._process
        assert process is not None, f"{self.name} was never started"
        self._ended.add(process.pid)
        self._signal(number)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await process.wait()
        except TimeoutError:
            raise AssertionError(f"{self.name} did not end after {number.name}:\n{self.tail()}") from None
        return process.pid

    def freeze(self) -> None:
        """SIGSTOP: it lives, holds its connections, and does nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    async def kill_for_good(self) -> int:
        """SIGKILL; nothing is started again until `start`. Its exit code."""
        return await self.stop(signal.SIGKILL)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it for good (until `start`), by SIGTERM unless another signal is given. Its exit code."""
        keeping, self._keeping = self._keeping, None
        if keeping is None:
            return 0
        self._leaving.set()
        if self.running:
            self.thaw()
            await self.end(number)
        await keeping
        assert self._process is not None
        return await self._process.wait()

    def tail(self, lines: int = 30) -> str:
        """The end of what it said, for messages."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join([f"--- {self.name}", *text.splitlines()[-lines:]])

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    async def _keep(self) -> None:
        while not self._leaving.is_set():
            environment = os.environ | dict(self.base()) | self.environment
            errand = Errand(self.arguments, environment, str(self.log))
            process = self._process = await self.forks.fork(self.arguments[0], errand)
            self.starts += 1
            self._started.set()
            code = await process.wait()
            if process.pid in self._ended or self._leaving.is_set():
                continue
            self.surprises.append(code)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_PAUSE_S):
                    await self._leaving.wait()
