"""What every channel must do, wherever it sends.

Subclass `ChannelContract` and give it fixtures `channel` and `arrived` (reads what has come out at the other end, as
the documents of the releases, in order of arrival).
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from horae.domain.channel import Channel as Address
from horae.domain.channel import Log
from horae.domain.delivery import Mode
from horae.domain.timing import Slot
from horae.streams.channels import Channel, Release

Arrived = Callable[[], list[dict[str, Any]]]


def release_to(address: Address, number: int = 1, **changes: Any) -> Release:
    """A release to `address`; `number` makes it another occurrence's."""
    release = Release(
        tenant="acme",
        occurrence=UUID(int=number),
        schedule=UUID(int=7),
        recipient="ann",
        address=address,
        slot=Slot(local=datetime.fromisoformat("2030-01-01T09:00"), fold=1),
        due_at=datetime(2030, 1, 1, 8, tzinfo=UTC),
        released_at=datetime(2030, 1, 1, 8, 0, 0, 250_000, tzinfo=UTC),
        attempt=1,
        mode=Mode.AT_LEAST_ONCE,
        timeout=timedelta(seconds=30),
        content={"subject": "Grüße, 世界 🎉", "n": 1},
        metadata={"type": "digest"},
        tags=("a", "b"),
    )
    return replace(release, **changes)


class ChannelContract:
    """The suite. `address` is where `channel` sends to."""

    address: Address = Log()

    async def test_a_release_arrives_whole(self, channel: Channel, arrived: Arrived) -> None:
        """When `release` returns, the other side has every field, Unicode included."""
        await channel.release(release_to(self.address))
        assert arrived() == [
            {
                "occurrence_id": "00000000-0000-0000-0000-000000000001",
                "schedule_id": "00000000-0000-0000-0000-000000000007",
                "recipient": "ann",
                "slot": "2030-01-01T09:00:00",
                "fold": 1,
                "due_at": "2030-01-01T08:00:00Z",
                "released_at": "2030-01-01T08:00:00.250000Z",
                "attempt": 1,
                "content": {"subject": "Grüße, 世界 🎉", "n": 1},
                "metadata": {"type": "digest"},
                "tags": ["a", "b"],
            }
        ]

    async def test_many_at_once_arrive_once_each(self, channel: Channel, arrived: Arrived) -> None:
        """Concurrent releases neither mix nor get lost."""
        await asyncio.gather(*(channel.release(release_to(self.address, n)) for n in range(1, 101)))
        assert sorted(UUID(each["occurrence_id"]).int for each in arrived()) == list(range(1, 101))

    async def test_a_release_that_is_given_up_harms_no_other(self, channel: Channel, arrived: Arrived) -> None:
        """Whether the cancelled one arrived nobody knows; the others did."""
        tasks = [asyncio.create_task(channel.release(release_to(self.address, n))) for n in range(1, 11)]
        await asyncio.sleep(0)
        tasks[4].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert {UUID(each["occurrence_id"]).int for each in arrived()} >= set(range(1, 11)) - {5}

    async def test_closing_twice_is_closing(self, channel: Channel, arrived: Arrived) -> None:
        """What was accepted before stays."""
        await channel.release(release_to(self.address))
        await channel.aclose()
        await channel.aclose()
        assert len(arrived()) == 1
