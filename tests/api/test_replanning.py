"""Planning anew after a change: one schedule's fault keeps no other from its turn."""

from __future__ import annotations

from uuid import UUID

import pytest

from horae.commands.context import Call
from horae.commands.schedules import Schedules
from tests.api.world import DAILY, World


async def test_a_schedule_that_cannot_be_planned_is_named_and_passed_by(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its planning fails at: the recipient's change is answered, and the schedule after it moves."""
    timing = {"kind": "every", "cron": "0 9 * * *", "zone": "recipient"}
    broken, sound = [(await world.create(DAILY | {"timing": timing}))["id"] for _ in range(2)]
    real = Schedules.replan

    async def fails_at_one(self: Schedules, call: Call, schedule: UUID, cause: object, detail: str) -> bool:
        if str(schedule) == broken:
            raise OverflowError("date value out of range")
        return await real(self, call, schedule, cause, detail)  # type: ignore[arg-type]

    monkeypatch.setattr(Schedules, "replan", fails_at_one)
    answer = await world.client.put("/v1/recipients/user-17", json={"zone": "Asia/Tokyo"})
    assert answer.status_code in (200, 201), answer.text
    assert answer.json()["replanned"] == {"checked": 2, "moved": [sound], "failed": [broken]}
