"""The embedded server: made once, started as our own child, stopped before us, found healthy again after any crash.

Place in the flow: `horae run` starts it first and stops it last; everything else only gets a DSN from it. An external
PostgreSQL needs none of this, just its DSN.

A cluster's folder holds `data/` (PostgreSQL's), `secrets.json` (passwords, 0600), `port`, `lock` and `postgres.log`.
"""

import fcntl
import json
import os
import secrets
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

import psycopg
from psycopg import sql

from horae.infra.ports import free_port, is_free, lasts
from horae.infra.postgres import leftovers
from horae.infra.postgres.child import ServerProcess
from horae.infra.postgres.initdb import InitdbError, initialise, write_private
from horae.infra.postgres.programs import programs, wheel_folder
from horae.infra.postgres.server_user import ServerUser, UnreachableError, server_user
from horae.infra.postgres.settings import CONNECTIONS, options

SUPERUSER: Final = "postgres"
OWNER_ROLE: Final = "horae"
API_ROLE: Final = "horae_api"
DATABASE: Final = "horae"

_ROLES = (SUPERUSER, OWNER_ROLE, API_ROLE)
_LOG_KEPT_BYTES = 16 * 1024 * 1024
_RETRY_S = 0.05


class ClusterError(Exception):
    """The server cannot be made, started or reached; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class _Busy:
    """Why this try to start failed although the next one may not."""

    reason: str
    other_port: bool = False


class Cluster:
    """One PostgreSQL server on one folder.

    `connections`: how many it takes at once. `start_timeout_s` bounds a start including crash recovery. `durable=False`
    is for tests only: a crash of the machine may then lose or corrupt what was committed. Methods block: call them in a
    thread from asynchronous code.
    """

    def __init__(
        self, folder: Path, *, connections: int = CONNECTIONS, durable: bool = True, start_timeout_s: float = 300.0
    ) -> None:
        self._folder = folder.resolve()
        self._data = self._folder / "data"
        self._connections, self._durable = connections, durable
        self._start_timeout_s = start_timeout_s
        self._lock: TextIO | None = None
        self._server: ServerProcess | None = None
        self._secrets: dict[str, str] = {}
        self._port = 0

    def start(self) -> None:
        """Make the cluster if it is new, start it, and return when it takes connections and its roles exist.

        Does nothing when it runs. After the server died, start it again with this same method.
        Raises `ClusterError` when the folder is in use by another Horae, when the server's user cannot reach its files,
        or when the server ends or does not answer within `start_timeout_s`.
        """
        if self.running:
            return
        deadline = time.monotonic() + self._start_timeout_s
        try:
            user = server_user(self._data)
            self._make_folder(user)
            binaries = programs(user, wheel_folder())
            user.require_way_to(self._folder, "its data in")
            self._take_lock()
            self._secrets = self._read_secrets()
            if not self._data.exists():
                initialise(self._data, binaries, user, SUPERUSER, self._secrets[SUPERUSER], durable=self._durable)
            self._clear_leftovers(deadline)
            self._launch(binaries, user, deadline)
            self._ensure_roles()
        except (UnreachableError, InitdbError) as error:
            self._release()
            raise ClusterError(str(error)) from None
        except BaseException:
            self._release()
            raise

    def stop(self, within_s: float = 10.0) -> None:
        """Stop the server: fast within `within_s`, else immediately (recovered at the next start). Idempotent."""
        if self._server is not None:
            self._server.stop(within_s)
        self._release()

    @property
    def running(self) -> bool:
        """Whether our server process lives."""
        return self._server is not None and not self._server.ended.is_set()

    @property
    def ended(self) -> threading.Event:
        """Set when the server that was started last has ended; a supervisor waits on it."""
        assert self._server is not None, "start() first"
        return self._server.ended

    @property
    def pid(self) -> int:
        """The postmaster's process id."""
        assert self._server is not None, "start() first"
        return self._server.pid

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1; kept between starts, changed when another program took it."""
        return self._port

    def dsn(self, role: str = OWNER_ROLE, database: str = DATABASE) -> str:
        """A connection URI for `SUPERUSER`, `OWNER_ROLE` or `API_ROLE`; holds a password, so never log it."""
        return f"postgresql://{role}:{self._secrets[role]}@127.0.0.1:{self._port}/{database}"

    def create_database(self, name: str, template: str = "template1") -> None:
        """Make a database that belongs to the owner role; `template` must have no connections."""
        with psycopg.connect(self.dsn(SUPERUSER, "postgres"), autocommit=True) as conn:
            conn.execute(
                sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}").format(
                    sql.Identifier(name), sql.Identifier(OWNER_ROLE), sql.Identifier(template)
                )
            )

    def drop_database(self, name: str) -> None:
        """Remove a database, disconnecting whoever uses it."""
        with psycopg.connect(self.dsn(SUPERUSER, "postgres"), autocommit=True) as conn:
            conn.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    # --- making ---

    def _make_folder(self, user: ServerUser) -> None:
        """Make what is missing of the way, open to the server's user whatever our umask is."""
        missing = [step for step in (self._folder, *self._folder.parents) if not step.exists()]
        self._folder.mkdir(parents=True, exist_ok=True)
        if not user.is_us:
            for step in missing:
                step.chmod(0o711)

    def _take_lock(self) -> None:
        if self._lock is not None:
            return
        lock = (self._folder / "lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            lock.close()
            raise ClusterError(
                f"{self._folder} is in use by process {holder}: stop that one, or give this one another data folder"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._lock = lock

    def _release(self) -> None:
        if self._server is not None and not self._server.ended.is_set():
            self._server.stop(10.0)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _read_secrets(self) -> dict[str, str]:
        path = self._folder / "secrets.json"
        if path.exists():
            return {str(role): str(password) for role, password in json.loads(path.read_text()).items()}
        if self._data.exists():
            raise ClusterError(f"{path} is missing: restore it from the backup that the data folder came from")
        passwords = {role: secrets.token_urlsafe(24) for role in _ROLES}
        write_private(path, json.dumps(passwords))
        return passwords

    # --- starting ---

    def _clear_leftovers(self, deadline: float) -> None:
        """Stop a server that an earlier, killed Horae left running, so that ours starts with our settings."""
        number = signal.SIGINT
        asked_at = float("-inf")
        while (pid := leftovers.orphan(self._data)) is not None:
            now = time.monotonic()
            if now > deadline:
                raise ClusterError(
                    f"process {pid} of an earlier start still uses {self._data}: stop it, then try again"
                )
            if now - asked_at > 10.0:
                leftovers.ask_to_stop(pid, number)
                number, asked_at = signal.SIGQUIT, now
            time.sleep(_RETRY_S)
        leftovers.disown_pid_file(self._data)

    def _launch(self, binaries: Path, user: ServerUser, deadline: float) -> None:
        log = self._folder / "postgres.log"
        if log.exists() and log.stat().st_size > _LOG_KEPT_BYTES:
            log.replace(log.with_suffix(".log.old"))
        self._port = self._choose_port()
        while True:
            begin = log.stat().st_size if log.exists() else 0
            self._server = ServerProcess(self._command(binaries), user, log)
            busy = self._await_ready(log, begin, deadline)
            if busy is None:
                return
            if time.monotonic() > deadline:
                raise ClusterError(f"PostgreSQL did not start within {self._start_timeout_s:g} s: {busy.reason}")
            if busy.other_port:
                self._port = self._choose_port(keep=False)
            time.sleep(_RETRY_S)

    def _command(self, binaries: Path) -> list[str]:
        settings = options(self._port, connections=self._connections, durable=self._durable)
        return [str(binaries / "postgres"), "-D", str(self._data), *settings]

    def _await_ready(self, log: Path, begin: int, deadline: float) -> _Busy | None:
        """None when it answers; what stands in the way when another try may help; raises when none will."""
        assert self._server is not None
        while True:
            if self._server.ended.is_set():
                return _diagnose(_tail(log, begin))
            try:
                psycopg.connect(self.dsn(SUPERUSER, "postgres"), connect_timeout=5).close()
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    self._server.stop(10.0)
                    raise ClusterError(
                        f"PostgreSQL did not answer within {self._start_timeout_s:g} s ({str(error).strip()}); "
                        f"its log is {log}"
                    ) from None
                self._server.ended.wait(_RETRY_S)
            else:
                if not self._server.ended.is_set():
                    return None

    def _choose_port(self, *, keep: bool = True) -> int:
        path = self._folder / "port"
        if keep and path.exists():
            kept = int(path.read_text())
            if lasts(kept) and is_free(kept):
                return kept
        port = free_port()
        path.write_text(f"{port}\n")
        return port

    def _ensure_roles(self) -> None:
        """The owner, the API's role and the database, as they should be whatever was there before."""
        with psycopg.connect(self.dsn(SUPERUSER, "postgres"), autocommit=True) as conn:
            for role in (OWNER_ROLE, API_ROLE):
                exists = conn.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,)).fetchone() is not None
                conn.execute(
                    sql.SQL("{} ROLE {} LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEROLE PASSWORD {}").format(
                        sql.SQL("ALTER" if exists else "CREATE"), sql.Identifier(role), self._secrets[role]
                    )
                )
            if conn.execute("SELECT FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone() is None:
                self.create_database(DATABASE)


def dsn_of(folder: Path, role: str = OWNER_ROLE, database: str = DATABASE) -> str | None:
    """The connection URI of another process's cluster on `folder`, running or not; None: there is none that we may use.

    It holds a password, so never log it.
    """
    try:
        port = int((folder / "port").read_text())
        password = json.loads((folder / "secrets.json").read_text())[role]
    except (OSError, ValueError, KeyError):
        return None
    return f"postgresql://{role}:{password}@127.0.0.1:{port}/{database}"


def _diagnose(said: str) -> _Busy:
    """Why the server ended at once: what passes by itself or with another port, else an error."""
    if "could not bind" in said or "could not create any TCP/IP sockets" in said:
        return _Busy("the port was taken", other_port=True)
    if "pre-existing shared memory block" in said or "postmaster.pid" in said:
        return _Busy("processes of a killed server have not ended yet")
    raise ClusterError(f"PostgreSQL ended while starting: {said.strip()[-2000:] or 'it said nothing'}")


def _tail(log: Path, begin: int) -> str:
    with log.open("rb") as file:
        file.seek(begin)
        return file.read().decode(errors="replace")
