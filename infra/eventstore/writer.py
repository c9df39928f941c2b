"""The one writer of a process: what arrived while the last commit ran goes into the next one (group commit).

Place in the flow: event loops -> `Writer.append` -> lanes -> this thread's own connection -> `log.append` -> futures.
There is no timer: a lone command is committed at once, and under load batches grow by themselves.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Sequence

import psycopg
import structlog

from horae.commands.ports import Lane, StreamConflict
from horae.domain.errors import HoraeError, Unavailable
from horae.infra.eventstore.batch import Append, Refused, Stored
from horae.infra.eventstore.figures import CommitFigures
from horae.infra.eventstore.lanes import Lanes, Pending
from horae.infra.eventstore.recorder import KEEPALIVE, append

_FIRST_WAIT_S = 0.05
_LONGEST_WAIT_S = 1.0

Outcome = int | Exception

log = structlog.get_logger(__name__)


class Writer:
    """A thread with a connection of its own.

    When the connection breaks, nobody knows whether the commit was done. The writer connects again and appends the same
    events again: `log.append` knows its own earlier success by the event ids. It tries for `patience_s`, then the
    commands end with `Unavailable`.
    """

    def __init__(self, dsn: str, lanes: Lanes, *, patience_s: float, figures: CommitFigures | None = None) -> None:
        self._dsn = dsn
        self._lanes = lanes
        self._patience_s = patience_s
        self._figures = figures
        self._conn: psycopg.Connection[tuple[object, ...]] | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="event-store-writer", daemon=True)

    def start(self) -> None:
        """Start the thread; it connects with the first command."""
        self._thread.start()

    def close(self) -> None:
        """Write what is queued (one try each), then end; blocks until then."""
        self._lanes.close()
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()

    async def append(self, command: Append, lane: Lane) -> int:
        """The position of the command's last event, when it is durable. Raises as `EventStore.append` does."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()
        self._lanes.put(Pending(command, future, loop), lane)
        return await future

    def _run(self) -> None:
        try:
            while (batch := self._lanes.take()) is not None:
                began = time.monotonic()
                self._settle(batch, self._write(batch))
                if self._figures is not None:
                    events = sum(len(pending.append.rows) for pending in batch)
                    self._figures.committed(len(batch), events, time.monotonic() - began)
        finally:
            self._disconnect()

    def _write(self, batch: Sequence[Pending]) -> list[Outcome]:
        """One outcome per command. Only an error of the database's side is shared by the whole batch."""
        started = time.monotonic()
        wait_s = _FIRST_WAIT_S
        while True:
            try:
                results = append(self._connection(), [pending.append for pending in batch])
                return [_outcome(result) for result in results]
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                self._disconnect()
                log.warning("append_interrupted", commands=len(batch), error=str(error).strip())
                if self._closing.is_set() or time.monotonic() - started > self._patience_s:
                    return [_unavailable(error)] * len(batch)
                self._closing.wait(wait_s)
                wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
            except Exception as error:  # noqa: BLE001  belongs to whoever's command it is; the writer lives on
                if len(batch) == 1:
                    return [error]
                # One command holds what PostgreSQL does not take; the others shall not suffer.
                return [outcome for pending in batch for outcome in self._write([pending])]

    def _connection(self) -> psycopg.Connection[tuple[object, ...]]:
        if self._conn is None:
            self._conn = psycopg.connect(
                self._dsn, autocommit=True, connect_timeout=5, application_name="horae-writer", **KEEPALIVE
            )
        return self._conn

    def _disconnect(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None

    @staticmethod
    def _settle(batch: Sequence[Pending], outcomes: Sequence[Outcome]) -> None:
        """Wake each event loop once, however many of its commands are done."""
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[int], Outcome]]] = {}
        for pending, outcome in zip(batch, outcomes, strict=True):
            by_loop.setdefault(pending.loop, []).append((pending.future, outcome))
        for loop, done in by_loop.items():
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
                loop.call_soon_threadsafe(_tell, done)


def _tell(done: list[tuple[asyncio.Future[int], Outcome]]) -> None:
    for future, outcome in done:
        if future.done():  # cancelled by its caller
            continue
        if isinstance(outcome, int):
            future.set_result(outcome)
        else:
            future.set_exception(outcome)


def _outcome(result: Stored | Refused) -> Outcome:
    if isinstance(result, Stored):
        return result.position
    return StreamConflict(result.stream, result.expected, result.actual)


def _unavailable(error: psycopg.Error) -> HoraeError:
    return Unavailable(
        f"the event log does not answer ({str(error).strip()}); whether the events were stored is unknown",
        hint="Append the same events again: they are stored once.",
    )
