"""The supervisor's side of the fork server: keeps it running, and asks it for processes.

Place in the flow: supervisor, `Child` -> *here* -> `forkserver`. When the server dies all that it forked dies with it
(they are tied to it), and the next one that is wanted starts another server.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import signal
import socket
import sys
from typing import Any, Protocol

import structlog

_SERVER = "horae.infra.processes.forkserver"
#: How long the server may take to end when its socket is closed; it has nothing to finish.
_STOP_S = 2.0

_log = structlog.get_logger(__name__)


class Told(Protocol):
    """What a process is told at its start: an `Assignment`."""

    def to_line(self) -> str:
        """As one line of text."""
        ...


class Forked:
    """One forked process."""

    def __init__(self, number: int, forks: Forks) -> None:
        self.number, self._forks = number, forks
        loop = asyncio.get_running_loop()
        self.started: asyncio.Future[int] = loop.create_future()
        self._code: asyncio.Future[int] = loop.create_future()

    @property
    def pid(self) -> int:
        """Once it has started."""
        return self.started.result()

    @property
    def ended(self) -> bool:
        """Whether it is gone."""
        return self._code.done()

    async def wait(self) -> int:
        """Its exit code, once it ends; -N: by signal N."""
        return await asyncio.shield(self._code)

    def send_signal(self, number: signal.Signals) -> None:
        """Nothing happens if it has ended."""
        if not self.ended:
            self._forks.say({"signal": int(number), "to": self.number})

    def end(self, code: int) -> None:
        """It has ended."""
        if not self.started.done():
            self.started.set_result(0)
        if not self._code.done():
            self._code.set_result(code)


class Forks:
    """`inherit`: descriptors that every forked process has, under the same numbers."""

    def __init__(self, profile: str, inherit: tuple[int, ...] = (), module: str = _SERVER) -> None:
        """`module` is the server's program."""
        self._profile, self._inherit, self._module = profile, inherit, module
        self._numbers = itertools.count(1)
        self._living: dict[int, Forked] = {}
        self._server: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._listening: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()

    async def __aenter__(self) -> Forks:
        """Start the server: it imports while others prepare what the processes will need."""
        await self._ensure()
        return self

    async def __aexit__(self, *_: object) -> None:
        """See `close`."""
        await self.close()

    async def close(self) -> None:
        """End the server, and whatever it has forked and still lives; the next one that is wanted starts another."""
        if self._writer is not None:
            self._writer.close()
        if self._server is not None:
            try:
                await asyncio.wait_for(self._server.wait(), _STOP_S)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    self._server.kill()
                await self._server.wait()
        if self._listening is not None:
            await self._listening

    async def fork(self, kind: str, assignment: Told) -> Forked:
        """Start a process of that kind; returns when it runs (or has ended at once)."""
        await self._ensure()
        forked = Forked(next(self._numbers), self)
        self._living[forked.number] = forked
        self.say({"start": forked.number, "kind": kind, "assignment": assignment.to_line()})
        await asyncio.shield(forked.started)
        return forked

    def say(self, what: dict[str, Any]) -> None:
        """Ask the server; in vain if it is gone, which `_listen` tells those concerned."""
        if self._writer is not None:
            self._writer.write(json.dumps(what).encode() + b"\n")

    async def _ensure(self) -> None:
        async with self._starting:
            if self._listening is not None and not self._listening.done():
                return
            ours, theirs = socket.socketpair()
            with theirs:
                self._server = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    self._module,
                    str(theirs.fileno()),
                    str(os.getpid()),
                    self._profile,
                    stdin=asyncio.subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(), *self._inherit),
                    # Ctrl-C goes to the whole terminal's group: the supervisor alone must get it, to stop in order.
                    start_new_session=True,
                )
            reader, self._writer = await asyncio.open_connection(sock=ours)
            self._listening = asyncio.create_task(self._listen(reader, self._server), name="forks")

    async def _listen(self, reader: asyncio.StreamReader, server: asyncio.subprocess.Process) -> None:
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                fact = json.loads(line)
                if "started" in fact:
                    self._living[fact["started"]].started.set_result(fact["pid"])
                else:
                    self._living.pop(fact["ended"]).end(fact["code"])
        code = await server.wait()
        if self._living:
            _log.error("fork_server_ended", exit_code=code, taken_along=len(self._living))
        for forked in self._living.values():
            forked.end(-signal.SIGKILL)
        self._living.clear()
