"""The measured thing: a `horae run` of our own, its processes and their memory and CPU, its database.

Place in the flow: every benchmark of the embedded profile begins here. Nothing of Horae is imported: the service is
spoken to over HTTP, and its data folder read.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import asyncpg
import httpx

KEY = "hk_benchmark_key_of_this_machine_only_000000000"
BIN = Path(sys.executable).parent
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
KINDS = ("api", "worker", "postgres", "supervisor")
#: By what the processes call themselves; whatever else is below the supervisor is PostgreSQL's.
_KIND_OF = {"horae api": "api", "horae worker": "worker", "horae forkserver": "supervisor"}
_START_S = 600.0
_STOP_S = 120.0

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class Service:
    """A `horae run` on a free port. `folder` must be open to other users; its `data` is used again if it is there."""

    def __init__(self, folder: Path, *options: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = int(s.getsockname()[1])
        self.data = folder / "data"
        self._log = folder / "horae.log"
        self._options = options
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", headers={"Authorization": f"Bearer {KEY}"}, timeout=120
        )
        self.start()

    def start(self) -> None:
        """Start it, and return when it is ready."""
        self.spawn()
        self.await_ready()

    def await_ready(self) -> None:
        """Return when `/readyz` answers 200. Raises `SystemExit` with its log."""
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                if self.client.get("/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        self.stop()
        raise SystemExit(self._log.read_text())

    def spawn(self) -> None:
        """Start it, and do not wait."""
        command = [str(BIN / "horae"), "run", "--port", str(self.port), "--data", str(self.data), "--api-key", KEY]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([*command, *self._options], stdout=log, stderr=subprocess.STDOUT)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it, and wait for its end."""
        self._process.send_signal(number)
        self._process.wait(_STOP_S)

    @property
    def pid(self) -> int:
        """The supervisor's."""
        return self._process.pid

    @property
    def releases(self) -> Path:
        """Where `log:` writes."""
        return self.data / "releases.ndjson"

    @property
    def dsn(self) -> str:
        """The database's owner; holds a password."""
        folder = self.data / "postgres"
        password = json.loads((folder / "secrets.json").read_text())["horae"]
        return f"postgresql://horae:{password}@127.0.0.1:{(folder / 'port').read_text().strip()}/horae"

    async def connect(self) -> Connection:
        """To its database, as the owner."""
        return await asyncpg.connect(self.dsn)

    def position(self) -> int:
        """The log's head."""
        return asyncio.run(self._fetchval("SELECT coalesce(max(notification_id), 0) FROM log.events"))

    def created_since(self, position: int) -> int:
        """How many schedules the log has that were created after this position."""
        query = "SELECT count(*) FROM log.events WHERE topic = 'schedule.created.v1' AND notification_id > $1"
        return asyncio.run(self._fetchval(query, position))

    async def _fetchval(self, query: str, *values: object) -> int:
        conn = await self.connect()
        try:
            found: int = await conn.fetchval(query, *values, timeout=600)
            return found
        finally:
            await conn.close()

    def settle(self, position: int, patience_s: float = 600.0) -> float:
        """Wait until the read models have applied this position; gives the seconds that it took."""
        begin = time.monotonic()
        while self.client.get("/v1/schedules", params={"limit": 1, "min_position": position}).status_code == 503:
            if time.monotonic() - begin > patience_s:
                raise SystemExit(f"the read models did not reach position {position} within {patience_s:g} s")
        return time.monotonic() - begin


# --- processes ------------------------------------------------------------------------------------------------------


@dataclass
class Process:
    """One process, from /proc."""

    pid: int
    parent: int
    #: User and system time, and for PostgreSQL's parent also of backends that have ended.
    cpu_s: float
    command: str


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes: `proportional` counts a page that n processes share as an n-th of it in each, `resident` wholly in each.

    So the sum of `proportional` is what the processes really occupy (they are forked from one, and share much).
    """

    proportional: int
    resident: int

    def __add__(self, other: Memory) -> Memory:
        return Memory(self.proportional + other.proportional, self.resident + other.resident)


def processes() -> dict[int, Process]:
    """Every process of this machine by its id."""
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ended = sum(map(int, fields[13:15])) if command.startswith("postgres") or "bin/postgres" in command else 0
        cpu_s = (sum(map(int, fields[11:13])) + ended) / TICKS_PER_S
        found[int(folder.name)] = Process(int(folder.name), int(fields[1]), cpu_s, command)
    return found


def kinds_of(root: int) -> dict[str, list[Process]]:
    """The processes of the service whose supervisor is `root`, by kind."""
    everything = processes()
    by_kind: dict[str, list[Process]] = {kind: [] for kind in KINDS}
    waiting = [everything[root]]
    by_kind["supervisor"].append(everything[root])
    while waiting:
        parent = waiting.pop().pid
        for process in everything.values():
            if process.parent == parent:
                waiting.append(process)
                by_kind[_KIND_OF.get(process.command, "postgres")].append(process)
    return by_kind


def cpu_of(root: int) -> dict[str, float]:
    """Seconds of CPU so far, by kind of process."""
    return {kind: sum(process.cpu_s for process in found) for kind, found in kinds_of(root).items()}


def memory_of(root: int) -> dict[str, Memory]:
    """By kind of process; the last, `horae`, is all of them without PostgreSQL."""
    found = {
        kind: sum((memory for process in each for memory in _memory(process.pid)), Memory(0, 0))
        for kind, each in kinds_of(root).items()
    }
    found["horae"] = sum((memory for kind, memory in found.items() if kind != "postgres"), Memory(0, 0))
    return found


def _memory(pid: int) -> Iterator[Memory]:
    """Of one process; nothing if it has just ended."""
    with contextlib.suppress(OSError):
        rows = (line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
        kb = {row[0]: int(row[1]) for row in rows}
        yield Memory(kb["Pss:"] * 1024, kb["Rss:"] * 1024)
