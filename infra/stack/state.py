"""What is written down of a running stack, so that other commands find it and end exactly its processes.

Place in the flow: `LocalStack` writes `state.json`; `horae stack status` and `down` read it. It holds no secret.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, Self

from horae.infra.stack.identity import ProcessIdentity
from horae.infra.stack.java import StackError

Phase = Literal["starting", "ready", "failed"]

_FILE: Final = "state.json"
_LOOK_AGAIN_S: Final = 0.1


@dataclass(slots=True)
class ServerState:
    """One server of it."""

    phase: Phase = "starting"
    #: What a start is busy with, or why it failed.
    note: str = ""
    address: str = ""
    log: str = ""
    process: ProcessIdentity | None = None
    #: The signal that ends it kindly. Java ignores SIGINT where the shell that started us did, as for a job with `&`.
    ends_by: int = signal.SIGTERM

    @property
    def alive(self) -> bool:
        """Whether its process runs, whatever is written."""
        return self.process is not None and self.process.alive


@dataclass(slots=True)
class StackState:
    """The stack of one folder: the process that keeps it, and its servers by name."""

    keeper: ProcessIdentity
    servers: dict[str, ServerState] = field(default_factory=dict)

    @property
    def ready(self) -> bool:
        """Whether every server answered its clients."""
        return all(server.phase == "ready" for server in self.servers.values())

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """None: no stack runs on this folder, or none that left something to read."""
        try:
            told: dict[str, Any] = json.loads((folder / _FILE).read_text(encoding="utf-8"))
            servers = {
                name: ServerState(**{**one, "process": one["process"] and ProcessIdentity(**one["process"])})
                for name, one in told["servers"].items()
            }
            return cls(ProcessIdentity(**told["keeper"]), servers)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, folder: Path) -> None:
        """Whole or not at all, since others read it while it changes."""
        beside = folder / f"{_FILE}.new"
        beside.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        beside.replace(folder / _FILE)

    @staticmethod
    def forget(folder: Path) -> None:
        """Nothing runs here any more."""
        (folder / _FILE).unlink(missing_ok=True)


def end(folder: Path, within_s: float) -> list[str]:
    """End the stack of a folder, and nothing else; returns the names of what ran.

    Its keeper stops the servers in order. Servers whose keeper was killed are asked themselves. A process whose id
    belongs to another program by now is left alone. Raises `StackError` if something still runs after `within_s`.
    """
    state = StackState.read(folder)
    if state is None:
        return []
    ran = [name for name, server in state.servers.items() if server.alive]
    _end_process(state.keeper, signal.SIGTERM, within_s, "the keeper")
    for name, server in (StackState.read(folder) or state).servers.items():
        if server.process is not None:
            _end_process(server.process, signal.Signals(server.ends_by), within_s, name)
    StackState.forget(folder)
    return ran


def _end_process(process: ProcessIdentity, number: signal.Signals, within_s: float, name: str) -> None:
    process.send(number)
    deadline = time.monotonic() + within_s
    pause = threading.Event()
    while process.alive:
        if time.monotonic() > deadline:
            raise StackError(f"process {process.pid} ({name}) did not end within {within_s:g} s: stop it")
        pause.wait(_LOOK_AGAIN_S)
