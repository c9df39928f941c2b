"""Reads that come together go together, and each gets its own answer."""

import asyncio
from collections.abc import Collection
from uuid import UUID, uuid4

import pytest

from horae.infra.eventstore.gathering import MAX_STREAMS_EACH, Gathering

A, B, C, EMPTY = (uuid4() for _ in range(4))


class Log:
    """Answers when it is let; nothing is known of `EMPTY`."""

    def __init__(self) -> None:
        self.asked: list[set[UUID]] = []
        self.begun, self.let = asyncio.Semaphore(0), asyncio.Semaphore(0)
        self.fails: Exception | None = None

    async def read(self, streams: Collection[UUID]) -> dict[UUID, str]:
        self.asked.append(set(streams))
        self.begun.release()
        await self.let.acquire()
        if self.fails is not None:
            raise self.fails
        return {stream: str(stream) for stream in streams if stream != EMPTY}


async def test_who_comes_while_a_query_is_under_way_goes_with_the_next() -> None:
    """All who wait go in one query, and each gets what it asked for, no more."""
    log = Log()
    gathering = Gathering(log.read)
    first = asyncio.create_task(gathering.read([A]))
    await log.begun.acquire()
    others = [asyncio.create_task(gathering.read(streams)) for streams in ([B], [B, C], [EMPTY], [A])]
    await asyncio.sleep(0)
    log.let.release()
    assert await first == {A: str(A)}
    log.let.release()
    assert await asyncio.gather(*others) == [{B: str(B)}, {B: str(B), C: str(C)}, {}, {A: str(A)}]
    # A again: what was committed after the first query began is in the second.
    assert log.asked == [{A}, {A, B, C, EMPTY}]
    assert gathering.idle


async def test_a_failure_is_everybodys_and_the_next_query_is_tried() -> None:
    """Those who went together fail together; whoever comes then is served."""
    log = Log()
    gathering = Gathering(log.read)
    log.fails = ConnectionError("away")
    log.let.release()
    with pytest.raises(ConnectionError, match="away"):
        await gathering.read([A])
    log.fails = None
    log.let.release()
    assert await gathering.read([A]) == {A: str(A)}


async def test_whoever_is_cancelled_disturbs_nobody() -> None:
    """Neither those of the same query nor those after it."""
    log = Log()
    gathering = Gathering(log.read)
    calls = [asyncio.create_task(gathering.read([stream])) for stream in (A, B, C)]
    await log.begun.acquire()
    calls[0].cancel()
    calls[1].cancel()
    log.let.release()
    log.let.release()
    assert await calls[2] == {C: str(C)}
    assert [call.cancelled() for call in calls[:2]] == [True, True]


async def test_many_streams_go_by_themselves() -> None:
    """A long list would keep the others waiting."""
    log = Log()
    gathering = Gathering(log.read)
    several = [uuid4() for _ in range(MAX_STREAMS_EACH + 1)]
    one = asyncio.create_task(gathering.read([A]))
    await log.begun.acquire()
    many = asyncio.create_task(gathering.read(several))
    await log.begun.acquire()
    log.let.release()
    log.let.release()
    assert (await many).keys() == set(several)
    assert await one == {A: str(A)}
