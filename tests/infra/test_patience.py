"""Whoever waits for a start is told what for."""

from __future__ import annotations

import asyncio

import pytest

from horae.infra.processes.patience import told_while_waiting


async def test_a_long_wait_is_told_until_it_ends() -> None:
    """Each line names what is waited for at that moment, and the wait ends with what was awaited."""
    said: list[str] = []
    names = iter(["PostgreSQL", "API and workers"])
    twice = asyncio.get_running_loop().create_future()

    def say(line: str) -> None:
        said.append(line)
        if len(said) == 2:
            twice.set_result("ready")

    assert await told_while_waiting(twice, lambda: next(names), say, every_s=0.001) == "ready"
    assert [line.split(",")[0] for line in said] == ["Waiting for PostgreSQL", "Waiting for API and workers"]


async def test_a_short_wait_says_nothing_and_a_fault_comes_through() -> None:
    """What ends at once, or fails, is not waited for."""
    said: list[str] = []

    async def fails() -> None:
        raise ConnectionError("refused")

    with pytest.raises(ConnectionError, match="refused"):
        await told_while_waiting(fails(), lambda: "nobody", said.append, every_s=60)
    assert said == []


async def test_who_is_called_off_while_waiting_leaves_nothing_behind() -> None:
    """Cancelled, it cancels what it awaited."""
    gone = asyncio.Event()

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            gone.set()

    told = asyncio.Event()
    task = asyncio.create_task(told_while_waiting(forever(), lambda: "it", lambda _: told.set(), every_s=0.001))
    await told.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await gone.wait()
