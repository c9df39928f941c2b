"""Starts the server as a child that never outlives us, whatever ends us."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from horae.infra.postgres.server_user import ServerUser

_PR_SET_PDEATHSIG = 1


def _ends_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    """What the child does between fork and exec: ask Linux for a shutdown (by `number`) when its parent dies.

    Runs after the change of user, which would clear the request.
    """
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    parent = os.getpid()

    def request() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:  # died before we asked
            os._exit(1)

    return request


class ServerProcess:
    """A running server.

    `signals` end it, the kindest first; those of PostgreSQL are a fast shutdown (clients are disconnected, a checkpoint
    is written), an immediate one, and the kill.

    Linux sends the parent-death signal when the *thread* that started the child ends, so a thread of our own starts it
    and stays until the child is gone. A session of its own keeps the terminal's Ctrl-C from it: whoever supervises it
    stops it, after its clients.
    """

    def __init__(
        self,
        command: list[str],
        user: ServerUser,
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        signals: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL),
    ) -> None:
        self._command = command
        self._env = env
        self._signals = signals
        self._user = user
        self._log = log
        self._spawned = threading.Event()
        self._error: BaseException | None = None
        self._process: subprocess.Popen[bytes] | None = None
        #: Set when the server has ended, however it ended.
        self.ended = threading.Event()
        threading.Thread(target=self._own, name="server-parent", daemon=True).start()
        self._spawned.wait()
        if self._error is not None:
            raise self._error

    @property
    def pid(self) -> int:
        """The process id; also that of its session and group."""
        assert self._process is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._process.returncode if self._process is not None and self.ended.is_set() else None

    def stop(self, within_s: float) -> None:
        """End it, giving each of its signals `within_s` before the next."""
        for number in self._signals:
            if self.ended.is_set():
                return
            os.kill(self.pid, number)
            if self.ended.wait(within_s):
                return
        self.ended.wait()

    def _own(self) -> None:
        try:
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(  # noqa: S603  our own binary and settings
                    self._command,
                    user=None if self._user.is_us else self._user.uid,
                    group=None if self._user.is_us else self._user.gid,
                    extra_groups=None if self._user.is_us else [],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                    start_new_session=True,
                    env=self._env,
                    preexec_fn=_ends_with_parent(self._signals[0]),
                )
        except BaseException as error:  # noqa: BLE001  handed to the thread that asked
            self._error = error
            return
        finally:
            self._spawned.set()
        self._process.wait()
        self.ended.set()
