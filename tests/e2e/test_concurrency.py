"""A slot that comes due while an earlier occurrence of its schedule is still under way: as the timing asks.

On virtual time. The receiver refuses the first request of a schedule, so that its occurrence waits for a second attempt
while two further slots come due.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.live import Live, fresh, running
from tests.e2e.profiles import Profile
from tests.e2e.receiver import Receiver

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e-concurrency"), pytest.mark.asyncio(loop_scope="module")]

MINUTES = timedelta(minutes=1)
#: One further attempt, 25 minutes after the first.
DELIVERY = {"retry": {"strategy": "fixed", "retries": 1, "delay": "PT25M", "max_delay": "PT25M"}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(profile: Profile) -> AsyncIterator[Live]:
    """The service, on virtual time."""
    async with running(profile, clock="virtual=2027-01-04T06:00:00Z") as live:
        yield live


async def three_slots(live: Live, hooks: Receiver, policy: str | None) -> list[dict[str, Any]]:
    """The occurrences, slot by slot, of a series every ten minutes whose first attempt of all fails."""
    hooks.script(503)
    timing = {"kind": "every", "cron": "*/10 * * * *", "zone": "UTC", "count": 4}
    timing |= {"concurrency": policy} if policy is not None else {}
    made = await live.create(channel=hooks.channel, timing=timing, recipient=fresh(), delivery=DELIVERY)
    await live.advance(60 * MINUTES)
    return await live.occurrences(made["id"])


async def test_by_default_slots_go_out_beside_each_other(live: Live, hooks: Receiver) -> None:
    """Nothing is held back: four slots, five requests."""
    found = await three_slots(live, hooks, None)
    assert [one["status"] for one in found] == ["delivered"] * 4
    assert len(hooks.requests) == 5


async def test_a_slot_is_left_out_while_an_earlier_one_is_under_way(live: Live, hooks: Receiver) -> None:
    """Two slots meet the first, which waits for its second attempt; the fourth goes out. Each says why."""
    found = await three_slots(live, hooks, "skip")
    assert [one["status"] for one in found] == ["delivered", "suppressed", "suppressed", "delivered"]
    first, second = found[0]["id"], found[1]["id"]
    assert [request.occurrence for request in hooks.requests] == [first, first, found[3]["id"]]
    told = await live.explain(second)
    assert (told["verdict"], told["released"]) == ("suppressed", False)
    assert any(f"concurrency: occurrence {first}" in line and "next attempt" in line for line in told["story"])


async def test_only_the_latest_is_tried_again(live: Live, hooks: Receiver) -> None:
    """The first has no second attempt, because later slots have gone out; it says which."""
    found = await three_slots(live, hooks, "latest")
    assert [one["status"] for one in found] == ["suppressed", "delivered", "delivered", "delivered"]
    assert [request.occurrence for request in hooks.requests] == [one["id"] for one in found]
    told = await live.explain(found[0]["id"])
    assert any(f"occurrence {found[2]['id']} of a later slot was claimed since" in line for line in told["story"])
