"""A recurring schedule over HTTP, from its making to its end: what the catalogue calls a pattern and its instances."""

from __future__ import annotations

import pytest

from tests.api.world import DAILY, World


@pytest.mark.covers("REC-13", "REC-16", "REC-25")
async def test_a_series_is_made_by_one_request_and_read_by_its_id(world: World) -> None:
    """The answer is its id; read, it shows the rule as it was given, that it waits, and for what."""
    made = await world.create()
    shown = await world.get(f"/v1/schedules/{made['id']}")
    assert (shown["id"], shown["status"], shown["next_due_at"]) == (made["id"], "pending", made["next_due_at"])
    assert {name: shown["timing"][name] for name in ("kind", "cron", "zone")} == DAILY["timing"]


@pytest.mark.covers("REC-12", "REC-25")
async def test_a_series_goes_on_until_it_is_paused_and_again_when_resumed(world: World) -> None:
    """Its status says which, and while it is paused nothing comes next."""
    path = f"/v1/schedules/{(await world.create())['id']}"
    seen = []
    for verb in ("pause", "resume"):
        assert (await world.client.post(f"{path}/{verb}", json={})).status_code == 200
        shown = await world.get(path)
        seen.append((shown["status"], shown["next_due_at"] is None))
    assert seen == [("paused", True), ("pending", False)]


@pytest.mark.covers("REC-26")
async def test_a_thousand_slots_are_shown_and_no_more(world: World) -> None:
    """The limit is refused by name."""
    path = f"/v1/schedules/{(await world.create())['id']}/preview"
    assert len((await world.get(path, count=1000))["slots"]) == 1000
    answer = await world.client.get(path, params={"count": 1001})
    assert (answer.status_code, answer.json()["field"]) == (422, "count")


@pytest.mark.covers("REC-27", "REC-28")
async def test_nothing_is_generated_ahead_so_nothing_is_cleaned_up(world: World) -> None:
    """A series that goes on for ever is one event in the log, and has no occurrence before one is claimed."""
    path = f"/v1/schedules/{(await world.create())['id']}"
    assert [event["event"] for event in (await world.get(f"{path}/history"))["items"]] == ["schedule.created.v1"]
    assert (await world.get(f"{path}/occurrences"))["items"] == []


@pytest.mark.covers("TZ-18")
async def test_who_has_no_zone_is_on_the_default_clock(world: World) -> None:
    """UTC unless DEFAULT_TIMEZONE says else; the plan says who named it."""
    timing = {"kind": "every", "cron": "0 9 * * *"}
    answer = await world.client.post("/v1/timings/preview", json={"timing": timing, "count": 1})
    (slot,) = answer.json()["slots"]
    assert slot["due_at"].endswith("T09:00:00Z")
    assert (slot["zone"], slot["zone_source"]) == ("UTC", "tenant")
