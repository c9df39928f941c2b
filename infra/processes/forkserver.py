"""The fork server: imports the program once, and forks a process of it whenever one is wanted.

Place in the flow: `Forks` -> `python -m horae.infra.processes.forkserver FD PARENT` -> fork -> that process's `run`.
A process started from nothing takes two to three seconds of CPU for its imports alone, just when what it replaces is
missed most; a fork takes a hundredth of that, and shares the memory of what was imported. So this process does nothing
else: no loop, no thread, no connection, nothing that a fork could take along half-done.

Both ends speak lines of JSON on a socket. To it: `{"start": N, "kind": ..., "assignment": ...}`, `{"signal": 15, "to":
N}`. From it: `{"started": N, "pid": ...}`, `{"ended": N, "code": ...}`. The end of the socket ends everything.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from setproctitle import setproctitle

from horae.infra.processes.assignment import Assignment
from horae.infra.processes.lifeline import tie_to_parent, watch_input
from horae.infra.telemetry import traced
from horae.infra.zonedata import use_zone_data_of

#: The module whose `run` is the life of each kind of process.
_LIVES = {
    "api": "horae.infra.processes.api_process",
    "worker": "horae.infra.processes.worker_process",
    "relay": "horae.infra.processes.relay_process",
    "indexer": "horae.infra.processes.indexer_process",
}
#: What is imported before anybody asks, by profile: also what those modules import only when they need it.
_AHEAD = {
    "embedded": (_LIVES["api"], _LIVES["worker"]),
    "stack": (*_LIVES.values(), "horae.infra.working_stack", "horae.infra.kafka.commanding"),
}
#: Exit codes of a process that could not be forked, and of one that ended by a fault (EX_OSERR, EX_SOFTWARE).
NOT_FORKED, FAULTY = 71, 70

#: Kind, assignment, the server's process id, and what to make one's standard input.
Become = Callable[[str, str, int, int], NoReturn]


@dataclass(slots=True)
class _Forked:
    number: int
    #: The other end of its standard input: it ends when this is closed, by us or by our death.
    lifeline: int


class ForkServer:
    """The server's side of the socket. Call `serve` in a process of one thread.

    `become` is what a forked process does with its kind, its assignment, our process id and its standard input.
    """

    def __init__(self, control: socket.socket, become: Become | None = None) -> None:
        self._control, self._become = control, become or _become
        self._forked: dict[int, _Forked] = {}
        self._selector = selectors.DefaultSelector()
        self._wakes, self._waker = os.pipe()
        os.set_blocking(self._wakes, False)
        os.set_blocking(self._waker, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._waker)

    def serve(self) -> None:
        """Until the other end of the socket is closed. Our end takes the forked ones along."""
        self._selector.register(self._control, selectors.EVENT_READ)
        self._selector.register(self._wakes, selectors.EVENT_READ)
        lines = _Lines()
        while True:
            ready = {key.fileobj for key, _ in self._selector.select()}
            if self._wakes in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wakes, 4096)
                self._reap()
            if self._control in ready:
                heard = self._control.recv(1 << 16)
                if not heard:
                    return
                for line in lines.feed(heard):
                    self._obey(json.loads(line))

    def _obey(self, asked: dict[str, Any]) -> None:
        if "start" in asked:
            self._start(asked["start"], asked["kind"], asked["assignment"])
            return
        for pid, forked in self._forked.items():
            # Not reaped yet, so that the id is nobody else's.
            if forked.number == asked["to"]:
                os.kill(pid, asked["signal"])

    def _start(self, number: int, kind: str, assignment: str) -> None:
        ours, lifeline = os.getpid(), os.pipe()
        try:
            pid = os.fork()
        except OSError:  # no memory, too many processes: those that live must not die of it
            traceback.print_exc()
            os.close(lifeline[0])
            os.close(lifeline[1])
            self._say({"ended": number, "code": NOT_FORKED})
            return
        if pid == 0:
            self._take_leave(lifeline[1])
            self._become(kind, assignment, ours, lifeline[0])
        os.close(lifeline[0])
        self._forked[pid] = _Forked(number, lifeline[1])
        self._say({"started": number, "pid": pid})

    def _take_leave(self, lifeline: int) -> None:
        """In the forked process: nothing of the server's is left open."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._selector.close()
        self._control.close()
        os.close(self._wakes)
        os.close(self._waker)
        for forked in self._forked.values():
            os.close(forked.lifeline)
        os.close(lifeline)

    def _reap(self) -> None:
        while self._forked:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            forked = self._forked.pop(pid)
            os.close(forked.lifeline)
            self._say({"ended": forked.number, "code": os.waitstatus_to_exitcode(status)})

    def _say(self, fact: dict[str, int]) -> None:
        self._control.sendall(json.dumps(fact).encode() + b"\n")


class _Lines:
    """Puts lines together from what a socket brings."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, heard: bytes) -> Iterator[bytes]:
        *lines, self._rest = (self._rest + heard).split(b"\n")
        yield from lines


def _become(kind: str, assignment: str, parent: int, lifeline: int) -> NoReturn:
    """In the forked process: be a process of that kind."""
    code = FAULTY
    try:
        tie_to_parent(parent)
        setproctitle(f"horae {kind}")
        os.dup2(lifeline, 0)
        os.close(lifeline)
        watch_input()
        told = Assignment.of(assignment)
        use_zone_data_of(told.settings)
        run = importlib.import_module(_LIVES[kind]).run
        with traced(told.settings, kind):
            code = run(told)
    except BaseException:  # noqa: BLE001  nothing may go back into the server's loop: it is another process's
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def serve(control: int, parent: int, profile: str, become: Become = _become) -> None:
    """Import all that the profile's processes need, then serve the socket `control` until it or `parent` ends."""
    tie_to_parent(parent)
    setproctitle("horae forkserver")
    # Nothing of what an import makes is garbage: looking for some takes a third of the time.
    gc.disable()
    for module in _AHEAD[profile]:
        importlib.import_module(module)
    gc.enable()
    # Nor would the collectors of the forked ones, which by looking at it would copy the memory that they share.
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=control) as ours:
        ForkServer(ours, become).serve()


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
