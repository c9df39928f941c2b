"""Ends a worker that makes no progress: a process that is started anew helps, one that hangs does not.

Place in the flow: beside the work of workers and indexers. Two ways to be stuck: what it keeps up to date stands still
although there is more, and the event loop does not turn any more (which only another thread can notice).
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable

from horae.domain.errors import Unavailable
from horae.infra import alive


class Stuck(Exception):
    """There is work, and none of it gets done."""


async def watch_progress(
    position: Callable[[], int],
    head: Callable[[], Awaitable[int]],
    interval_s: float,
    *,
    looks: int = 4,
    done: Callable[[], int] = lambda: 0,
) -> None:
    """Raise `Stuck` when neither `position()` nor `done()` moves for `interval_s` although `head()` lies ahead.

    `done`: counts what is done on the way from one position to the next, where that may take longer. What `head`
    cannot tell (`Unavailable`) is no reason: then nothing can progress, and starting anew would not help.
    """
    seen, since = (position(), done()), time.monotonic()
    while True:
        await asyncio.sleep(interval_s / looks)
        try:
            behind = await head() > position()
        except Unavailable:
            behind = False
        if (position(), done()) != seen or not behind:
            seen, since = (position(), done()), time.monotonic()
        elif time.monotonic() - since > interval_s:
            raise Stuck(f"no progress from position {seen[0]} for {time.monotonic() - since:.0f} s")


def watch_loop(loop: asyncio.AbstractEventLoop, interval_s: float, exit_code: int) -> None:
    """End this process when the loop does not turn for `interval_s`; watched from a thread of its own.

    As long as it turns a sign of life is given about once a second, if the environment names a file for it.
    """
    sign = alive.file_from(os.environ)

    def watch() -> None:
        while True:
            turned = threading.Event()
            try:
                loop.call_soon_threadsafe(turned.set)
            except RuntimeError:  # closed: the process is ending
                return
            if not turned.wait(interval_s) and not loop.is_closed():
                sys.stderr.write('{"event": "event_loop_stuck", "level": "error"}\n')
                sys.stderr.flush()
                os._exit(exit_code)
            if sign is not None:
                alive.give_sign(sign)
            time.sleep(min(1.0, interval_s))

    threading.Thread(target=watch, name="loop-watchdog", daemon=True).start()
