"""The real service as tests run it: `horae run` as a child, on a free port and a data folder of its own.

Waiting is always for something that tells: the banner on standard output, an event of the stream, the end of a process.
`PATIENCE_S` and `START_S` only bound what would otherwise hang for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import asyncpg

from horae.projections.away import DATABASE_AWAY
from tests.e2e.talking import KEY, PATIENCE_S, Talking

#: A first start on a busy machine; in the stack profile seven processes begin at once.
START_S = 240.0

#: The process whose session holds the feeder's lock: it holds its incarnation's, too.
_WORKING = """
SELECT incarnations.pid FROM pg_locks AS feeder
JOIN pg_locks AS own ON own.pid = feeder.pid AND own.locktype = 'advisory' AND own.classid = 7301 AND own.granted
JOIN sys.incarnations ON (incarnations.id & 4294967295) = own.objid::bigint
WHERE feeder.locktype = 'advisory' AND feeder.classid = 7302 AND feeder.granted
"""


def free_port() -> int:
    """A TCP port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Service(Talking):
    """One installation that can be started, killed and started again. Give it a folder that everybody may enter."""

    def __init__(
        self,
        data: Path,
        *,
        clock: str | None = None,
        workers: int = 1,
        arguments: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
    ) -> None:
        self.data = data
        self.workers = workers
        self.port = free_port()
        self.clock = clock
        self.arguments = arguments
        #: Added to the environment of the next start.
        self.environment = dict(environment or {})
        self.output: list[str] = []
        self._process: asyncio.subprocess.Process | None = None
        self._drain: asyncio.Task[None] | None = None

    # --- life ---

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The supervisor's."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> Path:
        """What all processes said on standard error."""
        return self.data.with_name(f"{self.data.name}.log")

    async def start(self) -> Service:
        """Start it and return when it says that it is ready. If it ends instead, its log is the error."""
        process = await self.spawn()
        assert process.stdout is not None
        try:
            async with asyncio.timeout(START_S):
                while line := await process.stdout.readline():
                    self.output.append(line.decode())
                    if "Ctrl-C" in self.output[-1]:
                        break
                else:
                    raise AssertionError(f"horae run ended with {await process.wait()}:\n{self.tail()}")
        except TimeoutError:
            await self.kill()
            raise AssertionError(f"horae run was not ready in {START_S:g} s:\n{self.tail()}") from None
        self._drain = asyncio.create_task(self._drained(process.stdout))
        return self

    async def spawn(self) -> asyncio.subprocess.Process:
        """Start it and do not wait."""
        command = [sys.executable, "-m", "horae.infra.cli.main", "run", "--port", str(self.port)]
        command += ["--data", str(self.data), "--api-key", KEY, "--allow-private-targets"]
        command += ["--workers", str(self.workers), *self.arguments]
        if self.clock is not None:
            command += ["--clock", self.clock]
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=os.environ | self.environment,
            )
        return self._process

    async def stop(self) -> int:
        """SIGTERM, and the exit code. Raises `AssertionError` with its log if it does not end."""
        return await self._end(signal.SIGTERM)

    async def kill(self) -> int:
        """SIGKILL of the supervisor alone."""
        return await self._end(signal.SIGKILL)

    async def _end(self, number: signal.Signals) -> int:
        process = self._process
        if process is None:
            return 0
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        try:
            async with asyncio.timeout(PATIENCE_S):
                code = await process.wait()
        except TimeoutError:
            raise AssertionError(f"horae run did not end after {number.name}:\n{self.tail()}") from None
        if self._drain is not None:
            await self._drain
        return code

    async def _drained(self, stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            self.output.append(line.decode())

    def tail(self, lines: int = 60) -> str:
        """The end of the log, for messages."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join([*self.output, *text.splitlines()[-lines:]])

    # --- processes ---

    def family(self) -> dict[str, int]:
        """Pids of the running parts: supervisor, api, worker, postgres (and every other descendant, by its pid).

        Of several workers any one, by `worker`; see `working`.
        """
        found = {"supervisor": self.pid}
        for pid in descendants(self.pid):
            kind = kind_of(pid)
            found[kind if kind is not None and kind not in found else str(pid)] = pid
        return found

    def workers_alive(self) -> list[int]:
        """Pids of all workers, whether they work or stand by."""
        return [pid for pid in descendants(self.pid) if kind_of(pid) == "worker"]

    async def connect(self) -> asyncpg.Connection[asyncpg.Record]:
        """To the installation's own database, as its owner."""
        folder = self.data / "postgres"
        password = json.loads((folder / "secrets.json").read_text())["horae"]
        (pid_file,) = folder.rglob("postmaster.pid")
        port = int(pid_file.read_text().splitlines()[3])
        return await asyncpg.connect(host="127.0.0.1", port=port, user="horae", password=password, database="horae")

    async def working(self) -> int | None:
        """Pid of the worker that works; None: none does, or the database is away."""
        try:
            conn = await self.connect()
        except (*DATABASE_AWAY, ValueError, IndexError):
            return None
        try:
            found: int | None = await conn.fetchval(_WORKING)
            return found
        except DATABASE_AWAY:
            return None
        finally:
            conn.terminate()

    # --- what it left ---

    def releases(self) -> list[dict[str, Any]]:
        """What the channel `log:` has written, in order."""
        path = self.data / "releases.ndjson"
        if not path.exists():
            return []
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


async def ended(pid: int) -> None:
    """Return when the process is gone, ours or not; at once if it is gone already."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    gone = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(handle, gone.set)
    try:
        async with asyncio.timeout(PATIENCE_S):
            await gone.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)


def descendants(pid: int) -> list[int]:
    """Every living process below `pid`, by the parents that /proc names."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError, ValueError):
                facts = (entry / "stat").read_text().rpartition(")")[2].split()
                if facts[0] != "Z":
                    parents[int(entry.name)] = int(facts[1])
    found: list[int] = []
    layer = [pid]
    while layer:
        layer = [child for child, parent in parents.items() if parent in layer]
        found += layer
    return found


def kind_of(pid: int) -> str | None:
    """api, worker, relay, indexer, forkserver, postgres; None: something else."""
    words = _command(pid)
    if len(words) == 1 and words[0].startswith("horae "):
        return words[0].split()[1]
    return "postgres" if words and words[0].endswith("/postgres") else None


def _command(pid: int) -> list[str]:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode(errors="replace").split("\0")
    return []
