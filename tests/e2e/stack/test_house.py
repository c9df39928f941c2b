"""A house of the stack profile works, and is what it says to be: processes that are kept running."""

from __future__ import annotations

import asyncio

import pytest

from tests.e2e.harness import ended
from tests.e2e.receiver import Receiver
from tests.e2e.stack.conftest import MakeHouse


@pytest.mark.e2e
@pytest.mark.timeout(600)
async def test_a_schedule_fires_and_what_dies_comes_back(make_house: MakeHouse, receiver: Receiver) -> None:
    """By the smallest house of two workers, of which one is killed; everything ends when it is told to."""
    house = await make_house(workers=2, relays=1, partitions=4).start()
    async with house.client() as client:
        await house.create(client, channel=receiver.channel)
        await receiver.received(1)
        first = await house.parts["worker-1"].kill()
        await house.create(client, channel=receiver.channel)
        await receiver.received(2)
        await house.shared()
    assert house.parts["worker-1"].pid != first
    pids = [part.pid for part in house.parts.values()]
    codes = await asyncio.gather(*(part.stop() for part in house.parts.values()))
    await asyncio.gather(*(ended(pid) for pid in pids))
    assert set(codes) == {0}, house.tail()
    assert [part.surprises for part in house.parts.values()] == [[]] * len(pids), house.tail()
