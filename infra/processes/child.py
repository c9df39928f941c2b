"""A supervised process, kept running by the supervisor.

Place in the flow: supervisor -> `Child.run` -> `Forks` -> fork server -> that process's `run`.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable

import structlog

from horae.infra.processes.assignment import Assignment
from horae.infra.processes.forks import Forked, Forks

_FIRST_BACKOFF_S = 0.1
_LONGEST_BACKOFF_S = 10.0
#: After so long a life an end counts as the first one again.
_HEALTHY_S = 3.0

_log = structlog.get_logger(__name__)


class Child:
    """One process, started again with growing pauses whenever it ends. `assignment` is awaited anew at each start."""

    def __init__(
        self, kind: str, forks: Forks, assignment: Callable[[], Awaitable[Assignment]], stop_within_s: float
    ) -> None:
        self.kind = kind
        self._forks, self._assignment, self._stop_within_s = forks, assignment, stop_within_s
        self._process: Forked | None = None

    async def run(self) -> None:
        """Keep it running until cancelled; then end it: SIGTERM, and SIGKILL after `stop_within_s`."""
        backoff_s = _FIRST_BACKOFF_S
        loop = asyncio.get_running_loop()
        try:
            while True:
                started = loop.time()
                code = await self._run_once()
                if loop.time() - started > _HEALTHY_S:
                    backoff_s = _FIRST_BACKOFF_S
                _log.warning("process_ended", kind=self.kind, exit_code=code, restart_in_s=backoff_s)
                await asyncio.sleep(backoff_s)
                backoff_s = min(backoff_s * 2, _LONGEST_BACKOFF_S)
        finally:
            await self._end()

    def restart(self) -> None:
        """End the present process; `run` starts another, with a new assignment."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)

    async def _run_once(self) -> int:
        self._process = await self._forks.fork(self.kind, await self._assignment())
        _log.info("process_started", kind=self.kind, pid=self._process.pid)
        return await self._process.wait()

    async def _end(self) -> None:
        process = self._process
        if process is None or process.ended:
            return
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), self._stop_within_s)
        except TimeoutError:
            _log.warning("process_killed", kind=self.kind, pid=process.pid, after_s=self._stop_within_s)
            process.send_signal(signal.SIGKILL)
            await process.wait()
