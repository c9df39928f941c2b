"""What Kafka and Elasticsearch have in common: a Java server on a folder, started as our own child, gone with us.

Place in the flow: `KafkaServer` and `ElasticsearchServer` say what to run and when it answers; this starts it, knows
why it did not start, and ends it. PostgreSQL's counterpart is `infra/postgres/cluster.py`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Self

from horae.infra.postgres.child import ServerProcess
from horae.infra.postgres.server_user import ServerUser, UnreachableError, server_user
from horae.infra.stack.folder import ServerFolder
from horae.infra.stack.java import Java, StackError, find_java
from horae.infra.stack.maven import Bundle, Say, fetch, silent

HOST: Final = "127.0.0.1"

_RETRY_S: Final = 0.1
_TOLD_CHARACTERS: Final = 1500


@dataclass(frozen=True, slots=True)
class Launch:
    """What a start found: the Java to run with, the folder of the programs, and the user to run as."""

    java: Java
    programs: Path
    user: ServerUser


class JvmServer(ABC):
    """One server on one folder.

    `port`: fixed; without it a free one is taken, and kept between starts. `heap_mb` is the most that its heap takes.
    `quick_start` is for tests: it takes half the work to start, and is slower under load for as long as it runs.
    `start_timeout_s` bounds a start, without the fetching. Methods block: call them in a thread from asynchronous code.
    """

    title: ClassVar[str]
    bundle: ClassVar[Bundle]
    #: Names of its ports; clients use the first.
    port_names: ClassVar[Sequence[str]]
    #: In its log when another program has its port.
    port_taken: ClassVar[Sequence[str]] = ("Address already in use", "BindException")
    #: In its log when the one before has not quite ended: passes by itself.
    still_locked: ClassVar[Sequence[str]]

    def __init__(
        self,
        folder: Path,
        port: int | None = None,
        *,
        heap_mb: int = 512,
        quick_start: bool = False,
        start_timeout_s: float = 300.0,
        say: Say = silent,
    ) -> None:
        self._folder = ServerFolder(folder, self.title)
        self._fixed_port = port
        self._heap_mb = heap_mb
        # Half the processor time until it answers (12 s for 23 of Elasticsearch's, 3.4 for 6.1 of Kafka's).
        self._compiling = ["-XX:TieredStopAtLevel=1"] if quick_start else []
        self._start_timeout_s = start_timeout_s
        self._say = say
        self._ports: dict[str, int] = {}
        self._process: ServerProcess | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Fetch the programs if they are not there, start the server, and return when it answers its clients.

        Does nothing when it runs. After it ended, however it did, start it again with this same method: same data, same
        port. Raises `MissingTool`; `StackError` when the folder is in use or cannot be reached by the server's user, or
        when the server ends or does not answer in time.
        """
        if self.running:
            return
        java = find_java()
        programs = fetch(self.bundle, self._say)
        deadline = time.monotonic() + self._start_timeout_s
        try:
            user = server_user(self._folder.data)
            user.require_way_to(programs, "its programs in", self.title)
            self._folder.make(user)
            self._folder.lock()
            self._folder.end_orphan(deadline)
            self._launch(Launch(java, programs, user), deadline)
        except UnreachableError as error:
            self.stop()
            raise StackError(str(error)) from None
        except BaseException:
            self.stop()
            raise

    def stop(self, within_s: float = 15.0) -> None:
        """Ask it to end, and kill it after `within_s`. Idempotent."""
        if self._process is not None and self.running:
            self._process.stop(within_s)
            self._kill_group(self._process.pid)
        self._folder.unlock()

    def kill(self) -> None:
        """End it at once, as a crash does (SIGKILL); `start` brings it back."""
        if self._process is not None and self.running:
            self._kill_group(self._process.pid)
            self._process.ended.wait()

    @property
    def running(self) -> bool:
        """Whether our server process lives."""
        return self._process is not None and not self._process.ended.is_set()

    @property
    def ended(self) -> threading.Event:
        """Set when the server that was started last has ended; a supervisor waits on it."""
        assert self._process is not None, "start() first"
        return self._process.ended

    @property
    def pid(self) -> int:
        """The process id of the server that was started last; its group has the same."""
        assert self._process is not None, "start() first"
        return self._process.pid

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1 that clients use; kept between starts, changed when another program took it."""
        return self._ports[self.port_names[0]]

    @property
    def log(self) -> Path:
        """What the server says."""
        return self._folder.log

    # --- what each server knows ---

    @abstractmethod
    def _prepare(self, launch: Launch) -> None:
        """Write its configuration for `self._ports`; make its data folder if it is new."""

    @abstractmethod
    def _command(self, launch: Launch) -> list[str]:
        """What to run."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether a client would be served now; asked again and again while it starts."""

    def _environment(self, launch: Launch) -> dict[str, str]:
        """Of our own environment only the path: it holds secrets and Java options that are none of the server's."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "JAVA_HOME": str(launch.java.home),
            "HOME": str(self._folder.tmp),
            "LANG": "C.UTF-8",
        }

    # --- starting ---

    def _launch(self, launch: Launch, deadline: float) -> None:
        keep = True
        while True:
            self._ports = self._folder.ports(self.port_names, keep=keep)
            if self._fixed_port is not None:
                self._ports[self.port_names[0]] = self._fixed_port
            self._folder.rotate_log()
            self._folder.empty_tmp(launch.user)
            self._prepare(launch)
            begin = self.log.stat().st_size if self.log.exists() else 0
            self._process = ServerProcess(
                self._command(launch),
                launch.user,
                self.log,
                env=self._environment(launch),
                signals=(signal.SIGTERM, signal.SIGKILL),
            )
            self._folder.remember(self._process.pid)
            if self._came_up(begin, deadline):
                self._folder.keep_ports(self._ports)
                return
            keep = self._ended_for_a_while(begin, deadline)

    def _came_up(self, begin: int, deadline: float) -> bool:
        """True when it answers, false when it ended."""
        assert self._process is not None
        while not self._process.ended.wait(_RETRY_S):
            if self._answers():
                return True
            if time.monotonic() > deadline:
                raise StackError(
                    f"{self.title} did not answer within {self._start_timeout_s:g} s; its log is {self.log}"
                    f"{self._said(begin)}"
                )
        return False

    def _ended_for_a_while(self, begin: int, deadline: float) -> bool:
        """Return when another try may help, with whether it may use the same ports; raise when none will."""
        said = self._said(begin)
        locked = any(words in said for words in self.still_locked)
        taken = not locked and any(words in said for words in self.port_taken)
        if time.monotonic() > deadline or not (locked or taken):
            raise StackError(f"{self.title} ended while starting{said or ' and said nothing'}")
        if taken and self._fixed_port is not None:
            raise StackError(
                f"{self.title} cannot listen on port {self._fixed_port}, which another program has: stop that one, or "
                "name another port"
            )
        threading.Event().wait(_RETRY_S)
        return not taken

    def _said(self, begin: int) -> str:
        with self.log.open("rb") as file:
            file.seek(begin)
            said = file.read().decode(errors="replace").strip()
        return f": {said[-_TOLD_CHARACTERS:]}" if said else ""

    @staticmethod
    def _kill_group(pid: int) -> None:
        """Also what it started itself."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
