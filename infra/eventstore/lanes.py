"""The queue in front of the writer: two bounded lanes, from which one commit's commands are taken.

Place in the flow: event loop -> `Lanes.put` -> writer thread -> `Lanes.take`.
"""

import asyncio
import threading
from collections import deque
from dataclasses import dataclass

from horae.commands.ports import Lane
from horae.domain.errors import Busy, Unavailable
from horae.infra.eventstore.batch import MAX_EVENTS_PER_COMMIT, Append, Batch

#: After so many commits in which the first bulk command found no place, a commit begins with it: bulk work and
#: commands larger than a commit get through whatever the load of the fast lane.
PATIENCE_OF_BULK = 8

#: So many commands that have to wait for the next commit are looked past for ones that need not.
_LOOK_PAST = 100


@dataclass(slots=True)
class Pending:
    """A command, and the future of the event loop that awaits it."""

    append: Append
    future: asyncio.Future[int]
    loop: asyncio.AbstractEventLoop


class Lanes:
    """`fast` before `bulk`, first in first out within each; safe to use from any thread.

    `queue_events` bounds each lane, so that a full bulk lane refuses no fast command. A fast command waits at most for
    the commit that runs and, once in `PATIENCE_OF_BULK` commits, for one that bulk begins.
    """

    def __init__(self, *, queue_events: int, max_events_per_commit: int = MAX_EVENTS_PER_COMMIT) -> None:
        self._queues: dict[Lane, deque[Pending]] = {"fast": deque(), "bulk": deque()}
        self._events: dict[Lane, int] = {"fast": 0, "bulk": 0}
        self._queue_events = queue_events
        self._max_events_per_commit = max_events_per_commit
        self._changed = threading.Condition()
        self._closed = False
        self._passed_over = 0

    def put(self, pending: Pending, lane: Lane) -> None:
        """Queue a command. Raises `Busy` when its lane is full, `Unavailable` after `close`."""
        size = len(pending.append.rows)
        with self._changed:
            if self._closed:
                raise Unavailable("the event store is closed", hint="The process is stopping: ask another one.")
            if self._events[lane] and self._events[lane] + size > self._queue_events:
                raise Busy(
                    f"{self._events[lane]} events are waiting to be stored in the {lane} lane", retry_after_s=1.0
                )
            self._queues[lane].append(pending)
            self._events[lane] += size
            self._changed.notify()

    def take(self) -> list[Pending] | None:
        """The commands of the next commit, waiting for one; None when closed and empty."""
        with self._changed:
            while True:
                if taken := self._fill():
                    return taken
                if self._closed:
                    return None
                self._changed.wait()

    def close(self) -> None:
        """Take nothing more in; what is queued is still given out."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def waiting_events(self) -> dict[Lane, int]:
        """How many events wait in each lane."""
        return dict(self._events)

    def _fill(self) -> list[Pending]:
        batch = Batch(self._max_events_per_commit)
        taken: list[Pending] = []
        first_bulk = self._queues["bulk"][0] if self._queues["bulk"] else None
        bulk_first = self._passed_over >= PATIENCE_OF_BULK
        lanes: tuple[Lane, Lane] = ("bulk", "fast") if bulk_first else ("fast", "bulk")
        for lane in lanes:
            taken += self._fill_from(lane, batch)
        still_first = bool(self._queues["bulk"]) and self._queues["bulk"][0] is first_bulk
        self._passed_over = self._passed_over + 1 if taken and still_first else 0
        return taken

    def _fill_from(self, lane: Lane, batch: Batch) -> list[Pending]:
        queue = self._queues[lane]
        taken: list[Pending] = []
        kept_back: list[Pending] = []
        while queue and not batch.full and len(kept_back) < _LOOK_PAST:
            pending = queue.popleft()
            if pending.future.cancelled():  # nobody waits for it, and nothing of it was tried
                self._events[lane] -= len(pending.append.rows)
            elif batch.offer(pending.append):
                self._events[lane] -= len(pending.append.rows)
                taken.append(pending)
            else:
                kept_back.append(pending)
        queue.extendleft(reversed(kept_back))
        return taken
