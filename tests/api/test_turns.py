"""Turns: one after the other, and not without end."""

from __future__ import annotations

import asyncio

import pytest

from horae.api.turns import Turns
from horae.domain.errors import Busy


async def test_who_finds_it_full_does_not_wait() -> None:
    """The others come in turn."""
    turns, done = Turns(1, waiting=1), asyncio.Event()

    async def work() -> None:
        async with turns.turn("files"):
            await done.wait()

    async def release() -> None:
        done.set()

    one, two, three, _ = await asyncio.gather(work(), work(), work(), release(), return_exceptions=True)
    assert (one, two) == (None, None)
    with pytest.raises(Busy, match="2 files are read already, or wait for it"):
        raise three if isinstance(three, Exception) else AssertionError("the third was let in")


async def test_who_gives_up_waiting_makes_room() -> None:
    """As one whose client is gone."""
    turns, come = Turns(1, waiting=1), asyncio.Event()

    async def work() -> None:
        come.set()
        async with turns.turn("files"):
            pass

    async with turns.turn("files"):
        waiting = asyncio.create_task(work())
        await come.wait()
        with pytest.raises(Busy):
            await work()
        waiting.cancel()
        await asyncio.wait([waiting])
        following = asyncio.create_task(work())
    await following
    assert waiting.cancelled()
