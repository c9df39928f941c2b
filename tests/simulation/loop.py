"""An event loop on virtual time whose turns are drawn from a seed: the same seed, the same run.

Place in the simulation: everything that awaits, awaits here. Time stands still while anything can run, then jumps to
the next timer. Of the tasks that could go on, chance picks one, so that orders occur which a machine shows rarely.
What a handle belongs to is in its context: handles of a dead process are dropped, those of one that stands still kept.
"""

from __future__ import annotations

import asyncio
import heapq
from asyncio import events
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from itertools import count
from random import Random
from typing import Any, Protocol, TypeVar, cast

T = TypeVar("T")


class Running(Protocol):
    """What the loop asks of a process."""

    alive: bool
    #: Handles that wait until it goes on; None: it runs.
    held: list[asyncio.Handle] | None


#: The process to which the running code belongs; None: the world around them.
PROCESS: ContextVar[Running | None] = ContextVar("process", default=None)


class Stuck(Exception):
    """Nothing can run and no timer is set, or far more turns were taken than a history needs."""


class SimulatedLoop(asyncio.AbstractEventLoop):
    """Not for threads, sockets or signals. `steps` counts turns of tasks."""

    def __init__(self, seed: object, limit: int = 2_000_000) -> None:
        self._random = Random(f"turns {seed}")
        self._now = 0.0
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._sequence = count()
        #: Callbacks that are no tasks keep their order, as asyncio promises; tasks do not.
        self._callbacks: list[asyncio.Handle] = []
        self._tasks: list[asyncio.Handle] = []
        #: All that ever ran, and whose they are: a task that nobody holds would be closed in the middle of its life.
        self._all: list[tuple[asyncio.Task[Any], Running | None]] = []
        self._dropped: list[asyncio.Handle] = []
        self._limit = limit
        self._closed = False
        self.steps = 0
        self.unhandled: list[dict[str, Any]] = []

    # --- running --------------------------------------------------------------------------------------------------

    def run_until_complete(self, future: Coroutine[Any, Any, T]) -> T:  # type: ignore[override]
        """Run the coroutine to its end. Raises `Stuck`, and what it raises."""
        events._set_running_loop(self)
        try:
            task = self.create_task(future)
            while not task.done():
                self._turn()
            return cast("T", task.result())
        finally:
            events._set_running_loop(None)

    def drain(self) -> None:
        """Cancel every task that is left, whosever it is, and let it end."""
        events._set_running_loop(self)
        try:
            for process in {id(p): p for _, p in self._all if p is not None}.values():
                process.alive = True
                held, process.held = process.held, None
                self.let_go(held or [])
            self.let_go(self._dropped)
            self._limit += 1_000_000
            for _ in range(20):
                left = [task for task, _ in self._all if not task.done()]
                for task in left:
                    task.cancel()
                while self._callbacks or self._tasks:
                    self._turn()
                if not left:
                    return
        finally:
            events._set_running_loop(None)

    def _turn(self) -> None:
        if self._callbacks:
            handle = self._callbacks.pop(0)
        elif self._tasks:
            chosen = int(self._random.random() * len(self._tasks))
            self._tasks[chosen], self._tasks[-1] = self._tasks[-1], self._tasks[chosen]
            handle = self._tasks.pop()
            self.steps += 1
            if self.steps > self._limit:
                raise Stuck(f"more than {self._limit} turns at {self._now:.3f} s")
        else:
            self._pass_time()
            return
        if not handle.cancelled():
            process = handle._context.get(PROCESS)  # type: ignore[attr-defined]
            if process is not None:
                if not process.alive:
                    self._dropped.append(handle)
                    return
                if process.held is not None:
                    process.held.append(handle)
                    return
            handle._run()

    def _pass_time(self) -> None:
        while self._timers:
            when, _, handle = heapq.heappop(self._timers)
            if not handle.cancelled():
                self._now = max(self._now, when)
                self._callbacks.append(handle)
                return
        raise Stuck(f"nothing is left to be done at {self._now:.3f} s")

    def let_go(self, handles: list[asyncio.Handle]) -> None:
        """What was held back may run."""
        for handle in handles:
            self._enqueue(handle)

    # --- what asyncio needs ---------------------------------------------------------------------------------------

    def time(self) -> float:
        return self._now

    def _enqueue(self, handle: asyncio.Handle) -> None:
        owner = getattr(handle._callback, "__self__", None)  # type: ignore[attr-defined]
        (self._tasks if isinstance(owner, asyncio.Task) else self._callbacks).append(handle)

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._enqueue(handle)
        return handle

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + max(0.0, delay), callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._sequence), handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is passed over when its time comes."""

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Any, *, name: str | None = None, context: Context | None = None, **_: Any
    ) -> asyncio.Task[Any]:
        task = asyncio.Task(coro, loop=self, name=name, context=context)
        self._all.append((task, PROCESS.get() if context is None else context.get(PROCESS)))
        return task

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return self._closed

    def close(self) -> None:
        self._closed = True
        self._timers.clear()
        self._callbacks.clear()
        self._tasks.clear()
        self._all.clear()
        self._dropped.clear()

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Kept, and looked at by the judge: nothing may fail unseen."""
        self.unhandled.append(context)


def running_loop() -> SimulatedLoop:
    """The loop that runs."""
    return cast("SimulatedLoop", asyncio.get_running_loop())
