"""The notification log as an asynchronous stream of batches: the library's subscription in a thread, kept alive.

Place in the flow: log -> *subscription* -> projections and dispatcher (embedded profile), or the relay (stack profile).
"""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import Self
from uuid import UUID

import psycopg
import structlog
from eventsourcing.persistence import ApplicationRecorder, Notification, PersistenceError
from eventsourcing.persistence import Subscription as LibrarySubscription

from horae.domain import codec
from horae.domain.envelope import Recorded
from horae.infra.eventstore.recorder import Recorder, make_datastore

MAX_BATCH = 500

#: The thread reads no further ahead of its consumer than this (beside what the library buffers).
_READ_AHEAD = 4 * MAX_BATCH
_FIRST_WAIT_S = 0.05
_LONGEST_WAIT_S = 1.0

log = structlog.get_logger(__name__)


class Subscription:
    """Every event later than a position, in order, each once: iterate over `async with store.subscribe(after) as it`.

    Yields non-empty lists of at most `MAX_BATCH` events: whatever is there, without waiting for more. When the
    connection dies it starts again behind the last event that it took in, so consumers notice a pause and nothing else.
    The iteration ends after `close`. An event that this version cannot decode raises from the iteration,
    and so does any fault that is not the database's: whoever reads must not wait for ever for a reader that is gone.
    One consumer per subscription.
    """

    def __init__(self, dsn: str, after: int = 0, known: Callable[[int], Recorded | None] = lambda _: None) -> None:
        """`known`: the event at a position, where it need not be decoded."""
        self._dsn = dsn
        self._known = known
        self._taken_in = after
        self._buffer: deque[Notification] = deque()
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._fault: BaseException | None = None
        self._current: LibrarySubscription[ApplicationRecorder] | None = None
        self._ready = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="event-store-subscription", daemon=True)

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the iteration, the thread and the connections; what was not taken yet is dropped. Idempotent."""
        with self._changed:
            self._stopping.set()
            current = self._current
            self._changed.notify_all()
        self._ready.set()
        if current is not None:
            current.stop()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[Recorded]:
        while not self._stopping.is_set():
            self._ready.clear()
            with self._changed:
                batch = list(islice(self._buffer, MAX_BATCH))
                for _ in batch:
                    self._buffer.popleft()
                self._changed.notify_all()
                fault = self._fault
            if batch:
                return [self._recorded(notification) for notification in batch]
            if fault is not None:
                raise fault
            await self._ready.wait()
        raise StopAsyncIteration

    def _recorded(self, notification: Notification) -> Recorded:
        known = self._known(notification.id)
        stands = (notification.originator_id, notification.originator_version)
        return known if known is not None and (known.stream, known.version) == stands else _decode(notification)

    # --- in the thread ---

    def _run(self) -> None:
        wait_s = _FIRST_WAIT_S
        while not self._stopping.is_set():
            before = self._taken_in
            try:
                self._follow()
            except (PersistenceError, psycopg.Error) as error:
                log.warning("subscription_interrupted", position=self._taken_in, error=str(error).strip())
            except BaseException as error:
                log.exception("subscription_failed", position=self._taken_in)
                with self._changed:
                    self._fault = error
                self._wake()
                return
            wait_s = _FIRST_WAIT_S if self._taken_in > before else min(2 * wait_s, _LONGEST_WAIT_S)
            self._stopping.wait(wait_s)

    def _follow(self) -> None:
        """Take in events until the connection dies or we are stopped."""
        datastore = make_datastore(self._dsn)
        try:
            with Recorder(datastore).subscribe(gt=self._taken_in) as subscription:
                with self._changed:
                    self._current = subscription
                if self._stopping.is_set():
                    return
                for notification in subscription:
                    self._take_in(notification)
        finally:
            with self._changed:
                self._current = None
            datastore.close()

    def _take_in(self, notification: Notification) -> None:
        with self._changed:
            while len(self._buffer) >= _READ_AHEAD and not self._stopping.is_set():
                self._changed.wait()
            if self._stopping.is_set():
                return
            self._buffer.append(notification)
            self._taken_in = notification.id
            wake = len(self._buffer) == 1
        if wake:
            self._wake()

    def _wake(self) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop ended without closing us
            self._loop.call_soon_threadsafe(self._ready.set)


def _decode(notification: Notification) -> Recorded:
    stream = notification.originator_id
    assert isinstance(stream, UUID)
    return codec.load(notification.topic, notification.state, stream, notification.originator_version, notification.id)
