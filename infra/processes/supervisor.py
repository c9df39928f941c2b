"""`horae run`: PostgreSQL, API and workers as children of one foreground process, started and stopped in order.

Place in the flow: CLI -> *here* -> `Cluster`, `prepare`, `Forks` and `Child`ren; in the stack profile also `Servers`, a
relay and an indexer. Whatever dies is started again; what we acknowledged survives that, because it is in the log. When
we die ourselves, by whatever means, none of them outlives us.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from pydantic import SecretStr

from horae.infra.connections import needed
from horae.infra.postgres import API_ROLE, OWNER_ROLE, Cluster, ClusterError
from horae.infra.processes.assignment import Assignment
from horae.infra.processes.child import Child
from horae.infra.processes.forks import Forks
from horae.infra.processes.installation import Installation, listen
from horae.infra.processes.lifeline import run_until, stop_requested
from horae.infra.processes.patience import told_while_waiting
from horae.infra.processes.preparation import prepare
from horae.infra.processes.probe import until_ready
from horae.infra.processes.servers import Servers
from horae.infra.secrets import master_key
from horae.infra.settings import Settings

_API_STOP_S = 8.0
_WORKER_STOP_S = 8.0
_POSTGRES_STOP_S = 10.0
_POSTGRES_BACKOFF_S = 0.2
_POSTGRES_LONGEST_BACKOFF_S = 10.0

#: What the stack profile has beside API and workers: who publishes the log, who stands by for it, and who keeps search
#: up to date.
_FOLLOWERS = ("relay", "relay", "indexer")

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Started:
    """What there is to say once everything answers."""

    url: str
    api_key: str
    #: True: the key was made at this start, and is worth showing.
    first_start: bool
    start_s: float
    settings: Settings
    installation: Installation


class Supervisor:
    """One run of one installation. `announce` is called once, when `/readyz` answers 200."""

    def __init__(
        self,
        settings: Settings,
        announce: Callable[[Started], None],
        *,
        began: float | None = None,
        own_kafka: bool = True,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`own_kafka`: the stack profile's cluster is ours to run; `say` is told what a start takes its time for."""
        self._settings, self._own_kafka, self._say = settings, own_kafka, say
        self._announce = announce
        self._began = time.monotonic() if began is None else began
        self._installation = Installation(settings.data)
        self._cluster = Cluster(self._installation.postgres, connections=needed(settings))
        self._port_used = 0
        self._servers: Servers | None = None
        self._children: list[Child] = []
        #: Set when the database is ready for the children.
        self._prepared = asyncio.Event()

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT.

        Raises `InUseError`, `SettingsError`, `ClusterError`, `StackError` or `MigrationError` when it cannot start.
        """
        stop = stop_requested()
        settings, installation = self._settings, self._installation
        installation.lock()
        with contextlib.closing(listen(settings.host, settings.port)) as listener:
            installation.tell_url(self._url())
            configured = settings.encryption_key.get_secret_value() if settings.encryption_key else None
            key = master_key(configured, installation.folder)
            given = settings.api_key.get_secret_value() if settings.api_key else None
            api_key, first_start = installation.api_key(given)
            self._settings = settings.model_copy(
                update={"data": installation.folder, "encryption_key": SecretStr(key.hex())}
            )
            self._servers = Servers(
                self._settings, installation.folder, self._restart_children, self._say, own_kafka=self._own_kafka
            )
            started = Started(self._url(), api_key, first_start, 0.0, self._settings, installation)
            try:
                async with Forks(self._settings.profile, (listener.fileno(),)) as forks:
                    await self._supervise(stop, forks, listener.fileno(), started)
            finally:
                await asyncio.to_thread(self._cluster.stop, _POSTGRES_STOP_S)
        _log.info("stopped")

    async def _supervise(self, stop: asyncio.Event, forks: Forks, listen_fd: int, started: Started) -> None:
        servers = self._servers
        assert servers is not None

        async def assignment(listen_fd: int | None = None) -> Assignment:
            await servers.up()
            await self._prepared.wait()
            return Assignment(self._complete(), listen_fd)

        api = Child("api", forks, lambda: assignment(listen_fd), _API_STOP_S)
        # Embedded one works; the others are connected, and take over when its lock is free.
        workers = [Child("worker", forks, assignment, _WORKER_STOP_S) for _ in range(self._settings.workers)]
        followers = [
            Child(kind, forks, assignment, _WORKER_STOP_S) for kind in _FOLLOWERS if self._settings.profile == "stack"
        ]
        self._children = [api, *workers, *followers]
        # Stopped in this order: no new requests, then no new work, then nothing to work on.
        await run_until(
            stop,
            asyncio.create_task(self._announce_when_ready(started), name="announce"),
            asyncio.create_task(api.run(), name="keep-api"),
            asyncio.create_task(_all(workers), name="keep-workers"),
            asyncio.create_task(_all(followers), name="keep-followers"),
            asyncio.create_task(servers.run(), name="keep-servers"),
            asyncio.create_task(self._keep_cluster(started.api_key), name="keep-postgres"),
        )

    def _restart_children(self) -> None:
        for child in self._children:
            child.restart()

    async def _announce_when_ready(self, started: Started) -> None:
        await told_while_waiting(
            self._until_ready(started),
            lambda: "API and workers" if self._prepared.is_set() else "PostgreSQL",
            self._say,
        )
        self._announce(
            Started(
                started.url,
                started.api_key,
                started.first_start,
                time.monotonic() - self._began,
                started.settings,
                started.installation,
            )
        )
        await asyncio.Event().wait()

    async def _until_ready(self, started: Started) -> None:
        await self._prepared.wait()
        await until_ready(started.settings.host, started.settings.port)

    # --- PostgreSQL ---

    async def _start_cluster(self) -> None:
        """Start it; when cancelled meanwhile, nothing of it runs any more."""
        starting = asyncio.create_task(asyncio.to_thread(self._cluster.start))
        try:
            await asyncio.shield(starting)
        finally:
            while not starting.done():
                await asyncio.to_thread(self._cluster.stop, _POSTGRES_STOP_S)
                await asyncio.wait({starting}, timeout=0.1)
            starting.exception()  # looked at, so that nobody warns about it

    async def _keep_cluster(self, api_key: str) -> None:
        """Start the server, and again whenever it ends; clients reconnect by themselves unless its port changed."""
        await self._start_cluster()
        self._port_used = self._cluster.port
        await prepare(self._with_dsns(), api_key)
        self._prepared.set()
        backoff_s = _POSTGRES_BACKOFF_S
        while True:
            await asyncio.to_thread(self._cluster.ended.wait)
            _log.warning("postgres_ended", restart_in_s=backoff_s)
            await asyncio.sleep(backoff_s)
            try:
                await self._start_cluster()
            except ClusterError as error:
                _log.error("postgres_does_not_start", error=str(error))
                backoff_s = min(backoff_s * 2, _POSTGRES_LONGEST_BACKOFF_S)
                continue
            backoff_s = _POSTGRES_BACKOFF_S
            _log.info("postgres_started", pid=self._cluster.pid)
            if self._cluster.port != self._port_used:
                self._port_used = self._cluster.port
                self._restart_children()

    # --- what children are told ---

    def _complete(self) -> Settings:
        assert self._servers is not None
        return self._with_dsns().model_copy(update=self._servers.addresses())

    def _with_dsns(self) -> Settings:
        return self._settings.model_copy(
            update={
                "dsn": SecretStr(self._cluster.dsn(OWNER_ROLE)),
                "api_dsn": SecretStr(self._cluster.dsn(API_ROLE)),
            }
        )

    def _url(self) -> str:
        host = self._settings.host
        shown = "localhost" if host in ("127.0.0.1", "0.0.0.0", "::", "::1") else host  # noqa: S104
        return f"http://{shown}:{self._settings.port}"


async def _all(children: Sequence[Child]) -> None:
    """Keep them all until cancelled; then end them side by side."""
    keeping = [asyncio.create_task(child.run(), name=f"keep-{child.kind}") for child in children]
    try:
        if keeping:
            await asyncio.wait(keeping, return_when=asyncio.FIRST_COMPLETED)
            for task in keeping:
                if task.done():
                    task.result()
        await asyncio.Event().wait()
    finally:
        for task in keeping:
            task.cancel()
        await asyncio.gather(*keeping, return_exceptions=True)
