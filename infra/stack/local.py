"""PostgreSQL, Kafka and Elasticsearch on one folder, started side by side and stopped in order.

Place in the flow: `horae stack up` keeps one; whoever else brings up the servers of the stack profile may use it too.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from horae.infra.postgres import API_ROLE, Cluster, ClusterError, dsn_of
from horae.infra.stack.elasticsearch import ElasticsearchServer
from horae.infra.stack.folder import ServerFolder
from horae.infra.stack.identity import ProcessIdentity
from horae.infra.stack.java import StackError
from horae.infra.stack.kafka import KafkaServer
from horae.infra.stack.server import HOST
from horae.infra.stack.state import Phase, ServerState, StackState

POSTGRES: Final = "PostgreSQL"
KAFKA: Final = KafkaServer.title
ELASTICSEARCH: Final = ElasticsearchServer.title

_POSTGRES_FOLDER: Final = "postgres"
#: Nobody knows how many processes will use it: as many as a dozen workers, and what belongs to them.
_CONNECTIONS: Final = 300


class LocalStack:
    """The three servers of one folder: `postgres/`, `kafka/`, `elasticsearch/`, and `state.json` for other commands.

    `postgres`, `kafka` and `elasticsearch` may each be stopped and started on their own meanwhile. Methods block.
    `quick_start`: see `JvmServer`.
    """

    def __init__(self, folder: Path, *, quick_start: bool = False) -> None:
        self.folder = folder.absolute()
        self.postgres = Cluster(self.folder / _POSTGRES_FOLDER, connections=_CONNECTIONS)
        self.kafka = KafkaServer(
            self.folder / "kafka", quick_start=quick_start, say=lambda text: self._note(KAFKA, text)
        )
        self.elasticsearch = ElasticsearchServer(
            self.folder / "elasticsearch",
            quick_start=quick_start,
            say=lambda text: self._note(ELASTICSEARCH, text),
        )
        self._own = ServerFolder(self.folder, "the stack")
        self._lock = threading.Lock()
        self._state: StackState | None = None

    def start(self) -> None:
        """Start all three and return when each answers. Raises the first failure, after stopping what did start.

        `StackError` or `ClusterError`.
        """
        ours = ProcessIdentity.of(os.getpid())
        assert ours is not None
        self.folder.mkdir(parents=True, exist_ok=True)
        self._own.lock()
        self._state = StackState(ours, {name: ServerState() for name in (POSTGRES, KAFKA, ELASTICSEARCH)})
        self._write()
        failures: list[StackError | ClusterError] = []
        work: dict[str, Callable[[], None]] = {
            POSTGRES: self._start_postgres,
            KAFKA: self._start_kafka,
            ELASTICSEARCH: self._start_elasticsearch,
        }
        # Daemons: whoever is told to end while they fetch ends at once.
        threads = [
            threading.Thread(target=self._start_one, args=(name, start, failures), name=f"start-{name}", daemon=True)
            for name, start in work.items()
        ]
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            if failures:
                raise failures[0]
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop them, the database last: the others' clients may still write to it. Idempotent."""
        self.elasticsearch.stop()
        self.kafka.stop()
        self.postgres.stop()
        if self._state is not None:
            StackState.forget(self.folder)
            self._state = None
        self._own.unlock()

    def _start_one(self, name: str, start: Callable[[], None], failures: list[StackError | ClusterError]) -> None:
        try:
            start()
        except (StackError, ClusterError) as error:
            failures.append(error)
            self._note(name, str(error), "failed")
        except Exception as error:  # noqa: BLE001  told to whoever called start()
            failures.append(StackError(f"{name} did not start: {error!r}"))

    def _start_postgres(self) -> None:
        self.postgres.start()
        log = self.folder / _POSTGRES_FOLDER / "postgres.log"
        self._ready(POSTGRES, f"{HOST}:{self.postgres.port}", self.postgres.pid, log)

    def _start_kafka(self) -> None:
        self.kafka.start()
        self._ready(KAFKA, self.kafka.bootstrap, self.kafka.pid, self.kafka.log)

    def _start_elasticsearch(self) -> None:
        self.elasticsearch.start()
        self._ready(ELASTICSEARCH, self.elasticsearch.url, self.elasticsearch.pid, self.elasticsearch.log)

    def _note(self, name: str, note: str, phase: Phase = "starting") -> None:
        with self._lock:
            if self._state is not None:
                self._state.servers[name] = ServerState(phase, note)
                self._write()

    def _ready(self, name: str, address: str, pid: int, log: Path) -> None:
        # SIGTERM would let PostgreSQL wait for its clients.
        ends_by = signal.SIGINT if name == POSTGRES else signal.SIGTERM
        with self._lock:
            if self._state is not None:
                process = ProcessIdentity.of(pid)
                self._state.servers[name] = ServerState("ready", "", address, str(log), process, ends_by)
                self._write()

    def _write(self) -> None:
        assert self._state is not None
        with contextlib.suppress(OSError):  # the servers matter, not the note
            self._state.write(self.folder)


def settings_of(folder: Path, state: StackState) -> dict[str, str]:
    """The environment by which `horae api`, `worker` and the rest use this stack; holds passwords, so never log it."""
    postgres = folder / _POSTGRES_FOLDER
    return {
        "HORAE_PROFILE": "stack",
        "HORAE_DSN": dsn_of(postgres) or "",
        "HORAE_API_DSN": dsn_of(postgres, API_ROLE) or "",
        "KAFKA_BROKERS": state.servers[KAFKA].address,
        "ELASTICSEARCH_URL": state.servers[ELASTICSEARCH].address,
    }
