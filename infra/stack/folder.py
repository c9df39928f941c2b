"""The folder of one server: kept to ourselves, with its ports and the process that an earlier life may have left.

Place in the flow: used by `JvmServer`. Holds `data/` (the server's), `tmp/`, `server.log`, `ports`, `process`, `lock`.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, TextIO

from horae.infra.ports import free_port, is_free
from horae.infra.postgres.server_user import ServerUser
from horae.infra.stack.identity import ProcessIdentity
from horae.infra.stack.java import StackError

_LOG_KEPT_BYTES: Final = 16 * 1024 * 1024
_RETRY_S: Final = 0.05
_PATIENCE_S: Final = 10.0


class ServerFolder:
    """The files of one server."""

    def __init__(self, path: Path, server: str) -> None:
        self.path = path.absolute()
        self.data = self.path / "data"
        self.tmp = self.path / "tmp"
        self.log = self.path / "server.log"
        self._server = server
        self._lock: TextIO | None = None

    def make(self, user: ServerUser) -> None:
        """Make what is missing of the way and of the folder, open to the server's user whatever our umask is."""
        missing = [step for step in (self.path, *self.path.parents) if not step.exists()]
        self.path.mkdir(parents=True, exist_ok=True)
        if not user.is_us:
            for step in missing:
                step.chmod(0o711)
        user.require_way_to(self.path, "its data in", self._server)

    def make_inner(self, user: ServerUser, name: str) -> Path:
        """A folder in it that belongs to the server's user."""
        inner = self.path / name
        inner.mkdir(mode=0o700, exist_ok=True)
        user.own(inner)
        return inner

    def lock(self) -> None:
        """Keep others out until `unlock`, or until we end. Raises `StackError`."""
        if self._lock is not None:
            return
        lock = (self.path / "lock").open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            lock.close()
            raise StackError(
                f"{self.path} is in use by process {holder}: stop that one, or give this one another data folder"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._lock = lock

    def unlock(self) -> None:
        """Let others in."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def ports(self, names: Sequence[str], *, keep: bool) -> dict[str, int]:
        """A free port for each name; those of the last start when they can be had and `keep` is true."""
        file = self.path / "ports"
        kept: dict[str, int] = json.loads(file.read_text()) if keep and file.exists() else {}
        if set(kept) != set(names) or not all(is_free(port) for port in kept.values()):
            kept = {name: free_port() for name in names}
        return kept

    def keep_ports(self, ports: dict[str, int]) -> None:
        """Remember them for the next start, once a server answered on them."""
        (self.path / "ports").write_text(json.dumps(ports) + "\n")

    def empty_tmp(self, user: ServerUser) -> None:
        """What a killed server left in its temporary folder is of no use to the next."""
        shutil.rmtree(self.tmp, ignore_errors=True)
        self.make_inner(user, self.tmp.name)

    def rotate_log(self) -> None:
        """Begin a new log when the old one has grown; the last one is kept."""
        if self.log.exists() and self.log.stat().st_size > _LOG_KEPT_BYTES:
            self.log.replace(self.log.with_suffix(".log.old"))

    def remember(self, pid: int) -> None:
        """Note the server's process, for whoever starts next if we die."""
        if (identity := ProcessIdentity.of(pid)) is not None:
            identity.write(self.path / "process")

    def end_orphan(self, deadline: float) -> None:
        """Wait for the server of an earlier, killed owner, which was asked to end when its owner died; then end it."""
        orphan = ProcessIdentity.read(self.path / "process")
        if orphan is None:
            return
        number = signal.SIGTERM
        ask_at = time.monotonic() + _PATIENCE_S
        while orphan.alive:
            if time.monotonic() > deadline:
                raise StackError(f"process {orphan.pid} of an earlier start still uses {self.path}: stop it")
            if time.monotonic() > ask_at:
                orphan.send(number, to_group=True)
                number, ask_at = signal.SIGKILL, time.monotonic() + _PATIENCE_S
            threading.Event().wait(_RETRY_S)
        (self.path / "process").unlink()
