"""A supervised process from both sides: kept running by the supervisor, and its own entry point.

Place in the flow: supervisor -> `Child.run` -> `python -m horae.infra.processes.child api|worker|relay PARENT` -> that
process's `run`. A child imports its code first and asks for its assignment then, so that it is ready by the time the
database is.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable

import structlog

from horae.infra.processes.assignment import Assignment
from horae.infra.processes.lifeline import tie_to_parent, watch_input
from horae.infra.telemetry import traced
from horae.infra.zonedata import use_zone_data_of

_FIRST_BACKOFF_S = 0.1
_LONGEST_BACKOFF_S = 10.0
#: After so long a life an end counts as the first one again.
_HEALTHY_S = 3.0

_log = structlog.get_logger(__name__)


class Child:
    """One process, started again with growing pauses whenever it ends.

    `assignment` is awaited anew at each start, while the process imports; `listen_fd` is inherited by it.
    """

    def __init__(
        self,
        kind: str,
        assignment: Callable[[], Awaitable[Assignment]],
        stop_within_s: float,
        listen_fd: int | None = None,
    ) -> None:
        self.kind = kind
        self._assignment = assignment
        self._listen_fd = listen_fd
        self._stop_within_s = stop_within_s
        self._process: asyncio.subprocess.Process | None = None

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
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)

    async def _run_once(self) -> int:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "horae.infra.processes.child",
            self.kind,
            str(os.getpid()),
            stdin=asyncio.subprocess.PIPE,
            pass_fds=() if self._listen_fd is None else (self._listen_fd,),
            # Ctrl-C goes to the whole terminal's group: the supervisor alone must get it, to stop in order.
            start_new_session=True,
        )
        _log.info("process_started", kind=self.kind, pid=self._process.pid)
        assert self._process.stdin is not None
        assignment = await self._assignment()
        with contextlib.suppress(ConnectionError):  # it died at once: its exit code tells
            self._process.stdin.write(assignment.to_line())
            await self._process.stdin.drain()
        return await self._process.wait()

    async def _end(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), self._stop_within_s)
        except TimeoutError:
            _log.warning("process_killed", kind=self.kind, pid=process.pid, after_s=self._stop_within_s)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def main() -> None:
    """The child's side: tie ourselves to the supervisor, import, take the assignment, and do the work."""
    _, kind, parent = sys.argv
    tie_to_parent(int(parent))
    # Imported by the process that needs it only: each costs a second.
    if kind == "api":
        from horae.infra.processes.api_process import run
    elif kind == "relay":
        from horae.infra.processes.relay_process import run
    elif kind == "indexer":
        from horae.infra.processes.indexer_process import run
    else:
        from horae.infra.processes.worker_process import run
    assignment = Assignment.read()
    watch_input()
    use_zone_data_of(assignment.settings)
    with traced(assignment.settings, kind):
        code = run(assignment)
    sys.exit(code)


if __name__ == "__main__":
    main()
