"""Virtual time: moves from due instant to due instant until the target that somebody asked for.

Place in the flow: API (asks for a target) -> *stepper* -> dispatcher, feeder. Each step waits for signals only: the
dispatcher has dealt with what is due, and the feeder has applied what that appended. So whoever waits for the target
sees everything that was due up to it, retries included. I/O runs on the machine's clock all the while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from horae.projections.projector import Applied
from horae.streams.dispatcher.source import DueSource

log = structlog.get_logger(__name__)

#: The clock's grain: what is due at the target itself comes before the target is reached.
_INSTANT = timedelta(microseconds=1)


class VirtualTime(Protocol):
    """The installation's virtual clock, kept in the database and seen by every process."""

    def now(self) -> datetime:
        """Aware UTC; time stands still here until it is moved."""
        ...

    @property
    def target(self) -> datetime:
        """How far somebody asked time to move; at least `now()`."""
        ...

    async def move_to(self, instant: datetime) -> None:
        """Move forward, never past the target; those who wait for that instant are answered."""
        ...

    async def asked(self) -> None:
        """Return when the target lies ahead of `now()`."""
        ...


class SteppedClock:
    """The worker's clock on virtual time: ahead of the installation's while a step is under way.

    So the installation's clock reaches an instant only when everything due up to it has been dealt with.
    """

    def __init__(self, time: VirtualTime) -> None:
        self._time = time
        self._ahead: datetime | None = None

    def now(self) -> datetime:
        """Aware UTC."""
        now = self._time.now()
        return now if self._ahead is None or self._ahead < now else self._ahead

    def step_to(self, instant: datetime) -> None:
        """From now on it is `instant` for this worker."""
        self._ahead = instant


class Dispatching(Protocol):
    """What the stepper asks of the dispatcher."""

    position: int

    def wake(self) -> None: ...

    def look_again(self) -> None: ...

    async def quiet(self) -> int: ...


class Chores(Protocol):
    """What else happens by the clock, besides what is due: see `streams.learner`."""

    async def next_at(self) -> datetime | None:
        """When there is something to do next; None: never, as things stand."""
        ...

    async def run_once(self) -> int:
        """Do what is to be done by now; the position of the last event, 0 if there was none."""
        ...


class Applying:
    """How far the feeder has come, as a signal. Give its `on_applied` to the feed, behind the dispatcher's."""

    def __init__(self, position: int = 0) -> None:
        self.position = position
        self._changed = asyncio.Event()

    async def on_applied(self, applied: Applied) -> None:
        """Everything up to that position is applied, and the dispatcher has been told."""
        # A crash of PostgreSQL may take the read models back a little: then the feed starts anew from there.
        self.position = applied.position if applied.reset else max(self.position, applied.position)
        self._changed.set()

    async def reached(self, position: int) -> None:
        """Return when everything up to `position` is applied."""
        while self.position < position:
            changed = self._changed
            if changed.is_set():
                self._changed = changed = asyncio.Event()
            await changed.wait()


class Stepper:
    """Runs in the worker on virtual time. `head` gives the log's last position (`EventStore.head`)."""

    def __init__(
        self,
        time: VirtualTime,
        clock: SteppedClock,
        dispatcher: Dispatching,
        source: DueSource,
        applying: Applying,
        head: Callable[[], Awaitable[int]],
        chores: Chores | None = None,
    ) -> None:
        self._time, self._clock, self._dispatcher, self._chores = time, clock, dispatcher, chores
        self._source, self._applying, self._head = source, applying, head

    async def run(self) -> None:
        """Move whenever somebody asks, until cancelled."""
        while True:
            await self._time.asked()
            steps = await self.run_once()
            log.info("time_moved", to=self._time.now().isoformat(), steps=steps)

    async def run_once(self) -> int:
        """Move to the target; gives how many due instants were stopped at. Returns at once if there is none ahead."""
        steps = 0
        await self._settle(await self._head())
        while self._time.now() < self._time.target:
            target = self._time.target
            due_at = await self._next_due(target)
            if due_at is None:
                await self._move(target)
                head = await self._head()
                await self._settle(head)
                # Somebody may have asked for more in between; what is due up to the target goes before the answer.
                if head == await self._head() and await self._next_due(target) is None:
                    await self._time.move_to(target)
                continue
            await self._move(due_at)
            await self._settle(self._dispatcher.position)
            await self._do_chores()
            await self._time.move_to(min(due_at, target - _INSTANT))
            steps += 1
        return steps

    async def _move(self, instant: datetime) -> None:
        if instant > self._clock.now():
            self._clock.step_to(instant)
        self._dispatcher.wake()

    async def _next_due(self, target: datetime) -> datetime | None:
        """The earliest instant up to `target` at which something waits."""
        found = [at for at in (await self._next_row(), await self._do_chores()) if at is not None and at <= target]
        return min(found, default=None)

    async def _do_chores(self) -> datetime | None:
        """Do what has come by now; when there is something to do next."""
        if self._chores is None:
            return None
        at = await self._chores.next_at()
        while at is not None and at <= self._clock.now():
            position = await self._chores.run_once()
            if position == 0:
                return None  # somebody else was quicker, or it cannot be done: time goes on
            await self._settle(position)
            at = await self._chores.next_at()
        return at

    async def _next_row(self) -> datetime | None:
        """The earliest instant at which a row of the due index waits."""
        due_at = await self._source.next_due_at()
        now = self._clock.now()
        if due_at is not None and due_at <= now:
            # The dispatcher has seen nothing of it, or can do nothing about it: it looks once more, and time goes on.
            self._dispatcher.look_again()
            await self._settle(self._dispatcher.position)
            due_at = await self._source.next_due_at()
            if due_at is not None and due_at <= now:
                due_at = await self._source.next_due_at(now)
        return due_at

    async def _settle(self, position: int) -> None:
        """Return when the dispatcher has nothing to do and the feeder has applied everything that it appended."""
        while True:
            await self._applying.reached(position)
            position = await self._dispatcher.quiet()
            if self._applying.position >= position:
                return
