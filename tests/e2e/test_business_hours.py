"""Other business hours for the whole installation, by the real processes: what was planned by those before moves."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.e2e.conftest import MakeService
from tests.e2e.live import of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

BEGIN = "2027-02-01T00:00:00Z"
AT_SEVEN = {"kind": "every", "cron": "0 7 * * *", "zone": "UTC", "calendar": {"business_hours_only": True}}


async def planned(client: httpx.AsyncClient, schedule: str) -> tuple[str, str]:
    """When its next slot goes out, and by which calendar."""
    shown: dict[str, Any] = (await client.get(f"/v1/schedules/{schedule}")).json()["next"]
    return shown["due_at"], shown["calendar"]


@pytest.mark.covers("TZ-20", "CFG-14")
async def test_other_business_hours_move_what_is_planned_at_the_next_start(make_service: MakeService) -> None:
    """Started with nine o'clock, then with ten: by an event, for what they concern, once; and so it goes out."""
    service = make_service(clock=f"virtual={BEGIN}")
    await service.start()
    async with service.client() as client:
        seven = (await service.create(client, timing=AT_SEVEN))["id"]
        noon = (await service.create(client, timing=AT_SEVEN | {"cron": "0 12 * * *"}))["id"]
        assert await planned(client, seven) == ("2027-02-01T09:00:00Z", "default@0")
    assert await service.stop() == 0

    service.environment["BUSINESS_HOURS_DEFAULT"] = "10:00-18:00"
    await service.start()
    (told,) = await service.until(of(seven, "schedule.replanned.v1"))
    assert (told["data"]["cause"], told["data"]["detail"]) == ("calendar", "default@0 10:00-18:00")
    async with service.client() as client:
        assert await planned(client, seven) == ("2027-02-01T10:00:00Z", "default@0 10:00-18:00")
        assert await planned(client, noon) == ("2027-02-01T12:00:00Z", "default@0")
    await service.kill()

    await service.start()
    async with service.client() as client:
        moved_on = await client.post("/v1/clock/advance", json={"to": "2027-02-01T13:00:00Z"}, timeout=300)
        assert moved_on.status_code == 200, moved_on.text
        due = {release["schedule_id"]: release["due_at"] for release in service.releases()}
        assert due == {seven: "2027-02-01T10:00:00Z", noon: "2027-02-01T12:00:00Z"}
        history = (await client.get(f"/v1/schedules/{seven}/history")).json()["items"]
        assert [entry["event"] for entry in history] == ["schedule.created.v1", "schedule.replanned.v1"]
