"""A worker that makes no progress ends; one that merely has nothing to do, or no database, does not."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable

import pytest

from horae.domain.errors import Unavailable
from horae.infra.watchdog import Stuck, watch_progress


async def looked(head: Callable[[], Awaitable[int]], position: Callable[[], int], looks: int) -> asyncio.Task[None]:
    """The watch, after it has asked for the log's head that often."""
    asked, enough = 0, asyncio.Event()

    async def counted() -> int:
        nonlocal asked
        asked += 1
        if asked >= looks:
            enough.set()
        return await head()

    watching = asyncio.create_task(watch_progress(position, counted, 0.02, looks=2))
    await asyncio.wait({asyncio.create_task(enough.wait()), watching}, return_when=asyncio.FIRST_COMPLETED)
    return watching


async def at_ten() -> int:
    return 10


async def away() -> int:
    raise Unavailable("the log is away")


async def test_standing_still_behind_the_log_is_being_stuck() -> None:
    """The error says where it stands."""
    with pytest.raises(Stuck, match="position 3"):
        await watch_progress(lambda: 3, at_ten, 0.02, looks=2)


async def test_standing_at_the_logs_head_is_not() -> None:
    """Nothing to do is no trouble."""
    watching = await looked(at_ten, lambda: 10, 20)
    assert not watching.done()
    watching.cancel()


async def test_neither_is_moving_on() -> None:
    """However far behind."""
    position = iter(range(-10_000, 0))
    watching = await looked(at_ten, lambda: next(position), 20)
    assert not watching.done()
    watching.cancel()


async def test_neither_is_a_log_that_is_away() -> None:
    """A new start would not bring it back."""
    watching = await looked(away, lambda: 3, 20)
    assert not watching.done()
    watching.cancel()


def test_a_loop_that_does_not_turn_ends_the_process() -> None:
    """Found out from another thread, since the loop's own cannot."""
    script = (
        "import asyncio, threading\n"
        "from horae.infra.watchdog import watch_loop\n"
        "async def main():\n"
        "    watch_loop(asyncio.get_running_loop(), 0.05, 75)\n"
        "    threading.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 75
    assert "event_loop_stuck" in done.stderr
