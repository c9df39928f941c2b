"""What is measured: real PostgreSQL, Kafka and Elasticsearch, and Horae's processes, each by its own command.

Every worker has a data folder of its own, so that its releases tell who made them. CPU time is read from /proc.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from horae.infra.stack import LocalStack
from horae.infra.stack.local import settings_of
from horae.infra.stack.state import StackState

BIN = Path(sys.executable).parent
KEY = "hk_benchmark_key_of_this_machine_only_000000000"
#: Longer than this nothing here should take; then something hangs, and its logs say what.
PATIENCE_S = 300.0
_TICKS = os.sysconf("SC_CLK_TCK")


class Stuck(Exception):
    """Something did not happen within `PATIENCE_S`."""


@dataclass(slots=True)
class Process:
    """One of Horae's processes."""

    kind: str
    popen: subprocess.Popen[bytes]
    folder: Path

    @property
    def log(self) -> Path:
        """What it wrote."""
        return self.folder / "log"

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it, and wait for its end; whoever is deaf is killed."""
        self.popen.send_signal(number)
        try:
            self.popen.wait(30)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()

    def releases(self) -> list[dict[str, Any]]:
        """What it released to `log:`."""
        path = self.folder / "releases.ndjson"
        return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []

    def directly(self) -> int:
        """How many shards it feeds from the store at present, by its log."""
        said = [line for line in self.log.read_bytes().splitlines() if b'"fed_from_the_store"' in line]
        return int(json.loads(said[-1])["shards"]) if said else 0


@dataclass(slots=True)
class Cpu:
    """CPU seconds so far, by kind of process."""

    seconds: dict[str, float] = field(default_factory=dict)

    def since(self, earlier: Cpu) -> dict[str, float]:
        """The difference."""
        return {kind: s - earlier.seconds.get(kind, 0.0) for kind, s in self.seconds.items()}


class World:
    """Use as `with World() as world`."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="horae-bench-stack-"))
        # PostgreSQL's and Elasticsearch's users are others than root, and have to reach their folders.
        self.folder.chmod(0o755)
        self.stack = LocalStack(self.folder / "servers")
        self.environment: dict[str, str] = {}
        self.processes: list[Process] = []
        self._number = 0

    def __enter__(self) -> World:
        try:
            self.stack.start()
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        state = StackState.read(self.stack.folder)
        assert state is not None
        self.environment = {
            **settings_of(self.stack.folder, state),
            "ENCRYPTION_KEY": secrets.token_hex(32),
            "HORAE_API_KEY": KEY,
            "HORAE_ALLOW_PRIVATE_TARGETS": "true",
            "HORAE_LOG_FORMAT": "json",
            "RATE_LIMIT_REQUESTS": "100000000",
        }
        subprocess.run(
            [BIN / "horae", "migrate"], env=self.environment_of(self.folder), check=True, stdout=subprocess.DEVNULL
        )
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self.processes):
            with contextlib.suppress(ProcessLookupError):
                process.stop()
        self.stack.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def dsn(self) -> str:
        """The owner's."""
        return self.environment["HORAE_DSN"]

    @property
    def workers(self) -> list[Process]:
        """Those that run."""
        return [process for process in self.processes if process.kind == "worker"]

    def start(self, kind: str, *arguments: str) -> Process:
        """Run `horae KIND`."""
        self._number += 1
        folder = self.folder / f"{kind}-{self._number}"
        folder.mkdir()
        with (folder / "log").open("wb") as log:
            command = [str(BIN / "horae"), kind, *arguments]
            popen = subprocess.Popen(command, env=self.environment_of(folder), stdout=log, stderr=log)
        process = Process(kind, popen, folder)
        self.processes.append(process)
        return process

    def end(self, process: Process, number: signal.Signals = signal.SIGTERM) -> None:
        """Stop one."""
        self.processes.remove(process)
        process.stop(number)

    async def have_workers(self, count: int, conn: asyncpg.Connection[asyncpg.Record]) -> None:
        """Start or stop until so many work, each on its shards and fed by Kafka."""
        while len(self.workers) > count:
            self.end(self.workers[-1])
        while len(self.workers) < count:
            self.start("worker")
        await self.settled(conn)

    async def settled(self, conn: asyncpg.Connection[asyncpg.Record]) -> None:
        """Return when every shard belongs to one of the workers, and all are fed by Kafka, for two seconds on end."""
        agreed = 0

        async def calm() -> bool:
            nonlocal agreed
            rows = await conn.fetch(
                "SELECT shards FROM sys.heartbeats "
                "WHERE kind = 'worker' AND beat_at > clock_timestamp() - interval '2 s'"
            )
            shards = sorted(shard for row in rows for shard in row["shards"])
            fine = len(rows) == len(self.workers) and shards == list(range(64))
            agreed = agreed + 1 if fine and not any(worker.directly() for worker in self.workers) else 0
            return agreed >= 8

        await until(calm, "the workers share the shards", every_s=0.25)

    async def figures(self, conn: asyncpg.Connection[asyncpg.Record]) -> dict[str, float]:
        """The workers' counters by name without labels, summed, as of their last heartbeat."""
        found: dict[str, float] = {}
        for row in await conn.fetch("SELECT metrics FROM sys.heartbeats WHERE kind = 'worker'"):
            for name, value in re.findall(r"^(horae_feed_\w+_total)(?:\{[^}]*\})? (\S+)$", row["metrics"], re.M):
                found[name] = found.get(name, 0.0) + float(value)
        return found

    def cpu(self) -> Cpu:
        """Of everything that runs, by kind: relay, worker, indexer, api, PostgreSQL, Kafka, Elasticsearch."""
        tree = _processes()
        cpu = Cpu()
        roots = [(process.kind, process.popen.pid) for process in self.processes]
        servers = {
            "PostgreSQL": self.stack.postgres.pid,
            "Kafka": self.stack.kafka.pid,
            "Elasticsearch": self.stack.elasticsearch.pid,
        }
        for kind, pid in [*roots, *servers.items()]:
            cpu.seconds[kind] = cpu.seconds.get(kind, 0.0) + sum(tree[p][1] for p in _below(tree, pid)) / _TICKS
        return cpu

    def environment_of(self, folder: Path) -> dict[str, str]:
        """For a process with this data folder."""
        return {**os.environ, **self.environment, "HORAE_DATA": str(folder)}


async def until(happened: Callable[[], Awaitable[bool]], what: str, every_s: float = 0.01) -> None:
    """Ask until it has. Raises `Stuck`."""
    deadline = time.monotonic() + PATIENCE_S
    while not await happened():
        if time.monotonic() > deadline:
            raise Stuck(f"not within {PATIENCE_S:g} s: {what}")
        await asyncio.sleep(every_s)


def _processes() -> dict[int, tuple[int, int]]:
    """Process id -> parent, ticks of CPU (its own, and of children that have ended)."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = (path / "stat").read_text().rpartition(")")[2].split()
            found[int(path.name)] = (int(fields[1]), sum(int(fields[n]) for n in (11, 12, 13, 14)))
    return found


def _below(tree: dict[int, tuple[int, int]], root: int) -> Iterator[int]:
    if root in tree:
        yield root
    for pid, (parent, _) in tree.items():
        if parent == root:
            yield from _below(tree, pid)
