"""What fell into a pause is sent afterwards, once, by the timing that was in force then: on real processes and virtual
time, over HTTP and from the command line.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.live import Live, command, fresh, running
from tests.e2e.profiles import Profile
from tests.e2e.receiver import Receiver

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e-backfill"), pytest.mark.asyncio(loop_scope="module")]

DAY = timedelta(days=1)
MORNINGS = {"kind": "every", "cron": "0 9 * * *", "zone": "UTC"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(profile: Profile) -> AsyncIterator[Live]:
    """The service, on virtual time."""
    async with running(profile, clock="virtual=2027-01-04T06:00:00Z") as live:
        yield live


async def paused_for_days(live: Live, hooks: Receiver) -> tuple[str, dict[str, Any]]:
    """A series whose second to fourth day fell into a pause, during which it became one of evenings.

    Whoever asks for it cancels it: its receiver goes with the test.
    """
    begun = await live.now()
    made = await live.create(channel=hooks.channel, timing=MORNINGS, recipient=fresh())
    path = f"/v1/schedules/{made['id']}"
    await live.advance(DAY)
    await live.post(f"{path}/pause")
    await live.advance(2 * DAY)
    await live.patch(path, {"timing": {**MORNINGS, "cron": "0 21 * * *"}})
    await live.advance(DAY)
    await live.post(f"{path}/resume")
    return path, {"from": begun.isoformat(), "to": (await live.now()).isoformat(), "include": ["paused"]}


async def test_what_a_pause_left_out_is_sent_once(live: Live, hooks: Receiver) -> None:
    """Two mornings and an evening, in order, each with its slot's own id; asked again, nothing more goes out."""
    path, window = await paused_for_days(live, hooks)
    assert len(hooks.requests) == 1
    kept = await live.post(f"{path}/backfill", window | {"include": []})
    assert [each["why"] for each in kept["left_out"]] == ["delivered", "paused", "paused", "paused"]
    done = await live.post(f"{path}/backfill", window | {"every": "PT1H", "reason": "they asked for it"})
    assert [each["slot"][11:16] for each in done["slots"]] == ["09:00", "09:00", "21:00"]
    await live.advance(timedelta(hours=3))
    again = await live.post(f"{path}/backfill", window)
    assert again["slots"] == []
    assert {each["why"] for each in again["left_out"]} == {"delivered"}
    await live.advance(timedelta(hours=3))

    sent = [request.occurrence for request in hooks.requests]
    assert sent[1:] == [each["occurrence"] for each in done["slots"]]
    assert len(set(sent)) == 4
    told = await live.explain(sent[1])
    assert told["verdict"] == "delivered"
    assert any("A backfill that API key" in line for line in told["story"])
    history = (await live.get(f"{path}/history"))["items"]
    assert ("schedule.backfilled.v1", "they asked for it") in [(each["event"], each["reason"]) for each in history]
    await live.post(f"{path}/cancel")


async def test_the_command_shows_first_and_sends_then(live: Live, hooks: Receiver) -> None:
    """`horae backfill --dry-run` stores nothing; without it the slots go out."""
    path, window = await paused_for_days(live, hooks)
    given = ("backfill", path.rpartition("/")[2], "--from", window["from"], "--to", window["to"], "--include", "paused")
    tried = await command(live.service, *given, "--dry-run")
    assert (len(tried["slots"]), tried["backfill"]) == (3, None)
    await live.advance(timedelta(minutes=1))
    assert len(hooks.requests) == 1
    done = await command(live.service, *given)
    assert done["backfill"] is not None
    await live.advance(timedelta(minutes=1))
    assert {request.occurrence for request in hooks.requests[1:]} == {each["occurrence"] for each in done["slots"]}
    await live.post(f"{path}/cancel")
