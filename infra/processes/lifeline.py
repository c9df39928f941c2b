"""How a process ends: asked by a signal, or because its supervisor is gone.

Place in the flow: each process begins with `tie_to_parent` and `stop_requested`. Two ties, so that nothing outlives the
supervisor even after a `kill -9` of it: Linux's parent-death signal, and (everywhere) the end of standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import threading

from horae.infra.stopping import stop_requested as stop_requested

_PR_SET_PDEATHSIG = 1


def tie_to_parent(parent: int) -> None:
    """End this process with process `parent`, at once, where the system can do that; call it first."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)


def watch_input() -> None:
    """End this process when standard input ends: its other end died with the supervisor."""
    threading.Thread(target=_end_with_input, name="lifeline", daemon=True).start()


def new_loop() -> asyncio.AbstractEventLoop:
    """A loop of uvloop's, for the processes that serve."""
    import uvloop

    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


async def run_until(stop: asyncio.Event, *work: asyncio.Task[None]) -> None:
    """Return when `stop` is set; raise what ended any of `work` before.

    Whatever is left is then cancelled and awaited, one after the other in the given order.
    """
    asked = asyncio.create_task(stop.wait(), name="stop")
    try:
        done, _ = await asyncio.wait({asked, *work}, return_when=asyncio.FIRST_COMPLETED)
        for task in done - {asked}:
            task.result()
    finally:
        for task in (asked, *work):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task


def _end_with_input() -> None:
    while True:
        try:
            if not os.read(0, 1024):
                os._exit(1)
        except OSError:
            os._exit(1)
