"""Occurrences, callbacks, dead letters and recipients over HTTP."""

from __future__ import annotations

from datetime import datetime
from uuid import uuid4

import pytest

from tests.api.world import DAILY, LOG_NOW, World


async def test_an_occurrence_shows_its_outcome(world: World) -> None:
    """Status, attempts, lateness and the plan's reasons; a slot to come has no occurrence yet."""
    created = await world.create(LOG_NOW)
    (attempt,) = await world.claim_due()
    await world.deliver(attempt)
    shown = await world.get(f"/v1/occurrences/{attempt.occurrence.id}")
    assert (shown["status"], shown["attempts"], shown["schedule"]) == ("delivered", 1, created["id"])
    assert shown["response"] == {"status_code": 204}
    listed = await world.get(f"/v1/schedules/{created['id']}/occurrences", status="delivered")
    assert [item["id"] for item in listed["items"]] == [shown["id"]]
    assert (await world.get(f"/v1/schedules/{created['id']}"))["status"] == "completed"
    nothing = await world.client.get(f"/v1/occurrences/{uuid4()}")
    assert (nothing.status_code, nothing.json()["code"]) == (404, "not_found")


@pytest.mark.covers("DSP-16")
async def test_a_provider_reports_a_delivery(world: World) -> None:
    """A callback is kept with the occurrence and told by explain; of one that never went out it is refused."""
    await world.create(LOG_NOW)
    (attempt,) = await world.claim_due()
    await world.deliver(attempt)
    path = f"/v1/occurrences/{attempt.occurrence.id}"
    body = {"status": "bounced", "detail": {"code": "5.1.1"}}
    answer = await world.client.post(f"{path}/callbacks", json=body, headers={"Idempotency-Key": "cb"})
    again = await world.client.post(f"{path}/callbacks", json=body, headers={"Idempotency-Key": "cb"})
    assert (answer.status_code, again.json()["replayed"]) == (202, True)
    reported = (await world.get(path))["reported"]
    assert (reported["status"], reported["detail"]) == ("bounced", {"code": "5.1.1"})
    assert "`bounced`" in (await world.get(f"{path}/explain"))["story"][-1]
    assert (await world.other.post(f"{path}/callbacks", json=body)).status_code == 404
    schedule = str(attempt.schedule.id)
    assert (await world.client.post(f"/v1/occurrences/{schedule}/callbacks", json=body)).status_code == 404
    assert (await world.client.get(f"/v1/occurrences/{schedule}/explain")).status_code == 404


async def test_a_dead_letter_is_listed_and_replayed(world: World) -> None:
    """It is there until its replay is delivered; another replay meanwhile is refused."""
    dead = await world.dead_letter()
    listed = await world.get("/v1/dead-letters")
    assert [item["id"] for item in listed["items"]] == [str(dead)]
    assert (await world.get(f"/v1/dead-letters/{dead}"))["last_failure"]["status_code"] == 500
    replayed = await world.client.post(f"/v1/dead-letters/{dead}/replay", json={"reason": "repaired"})
    assert (replayed.status_code, replayed.json()["status"]) == (202, "retrying")
    assert (await world.client.post(f"/v1/dead-letters/{dead}/replay")).status_code == 409
    (attempt,) = await world.claim_due()
    assert attempt.occurrence.id == dead
    await world.deliver(attempt)
    await world.settled()
    assert (await world.client.get(f"/v1/dead-letters/{dead}")).status_code == 404
    assert (await world.get(f"/v1/occurrences/{dead}"))["status"] == "delivered"
    assert (await world.other.post(f"/v1/dead-letters/{dead}/replay")).status_code == 404


async def test_dead_letters_are_replayed_by_filter(world: World) -> None:
    """Each for itself, as many as asked; the answer says whether more match."""
    dead = {str(await world.dead_letter()) for _ in range(3)}
    first = await world.client.post("/v1/dead-letters/replay", json={"limit": 2})
    assert first.status_code == 202
    assert (first.json()["replayed"], first.json()["refused"], first.json()["more"]) == (2, 0, True)
    await world.settled()
    rest = await world.client.post("/v1/dead-letters/replay", json={})
    assert {item["id"] for item in first.json()["items"] + rest.json()["items"]} == dead
    assert rest.json()["more"] is False


@pytest.mark.covers("TZ-04")
async def test_a_recipient_who_moves_takes_their_schedules_along(world: World) -> None:
    """Slots that follow the zone are planned anew, series and one-offs; those of a zone of their own stay."""
    await world.client.put("/v1/recipients/user-17", json={"zone": "Europe/Berlin"})
    series = await world.create(timing={"kind": "every", "cron": "0 18 * * *", "zone": "recipient"})
    once = await world.create(timing={"kind": "at", "local": "2026-12-24T18:00", "zone": "recipient"})
    fixed = await world.create(timing={"kind": "every", "cron": "0 18 * * *", "zone": "Europe/Berlin"})
    other = await world.create(recipient="user-18", timing={"kind": "every", "cron": "0 18 * * *", "zone": "recipient"})
    put = await world.client.put("/v1/recipients/user-17", json={"zone": "America/New_York"})
    assert put.status_code == 200, put.text
    assert put.json()["replanned"]["checked"] == 2
    assert set(put.json()["replanned"]["moved"]) == {series["id"], once["id"]}
    shown = await world.get(f"/v1/schedules/{series['id']}")
    assert (shown["next_due_at"], shown["next"]["zone"]) == ("2026-12-01T23:00:00Z", "America/New_York")
    assert (await world.get(f"/v1/schedules/{once['id']}"))["next_due_at"] == "2026-12-24T23:00:00Z"
    for same in (fixed, other):
        assert (await world.get(f"/v1/schedules/{same['id']}"))["next_due_at"] == same["next_due_at"]
    again = await world.client.put("/v1/recipients/user-17", json={"zone": "America/New_York"})
    assert again.json()["replanned"] == {"checked": 2, "moved": [], "failed": [], "change": None}
    # The dispatcher claims the series at its new instant.
    world.pass_time(hours=15, minutes=30)
    (attempt,) = [one for one in await world.claim_due() if str(one.schedule.id) == series["id"]]
    assert attempt.occurrence.plan is not None
    assert attempt.occurrence.plan.zone == "America/New_York"


async def test_a_recipients_zone_is_used_and_their_timeline_shown(world: World) -> None:
    """`recipient` means the zone that was PUT; the timeline holds what was sent and what is to come."""
    put = await world.client.put(
        "/v1/recipients/user-17", json={"zone": "Asia/Tokyo", "locale": "ja-JP", "attributes": {"plan": "pro"}}
    )
    assert (put.status_code, put.headers["etag"]) == (200, '"1"')
    read = await world.client.get("/v1/recipients/user-17")
    assert (read.json()["zone"], read.json()["attributes"]) == ("Asia/Tokyo", {"plan": "pro"})
    assert (await world.other.get("/v1/recipients/user-17")).status_code == 404
    daily = await world.create(timing=DAILY["timing"] | {"zone": "recipient"})  # type: ignore[operator]
    assert (daily["next"]["zone"], daily["next"]["zone_source"]) == ("Asia/Tokyo", "recipient")
    await world.create(LOG_NOW)
    (attempt,) = await world.claim_due()
    await world.deliver(attempt)
    timeline = await world.get("/v1/recipients/user-17/timeline")
    assert [entry["status"] for entry in timeline["items"]] == ["delivered", "pending"]
    assert timeline["items"][1]["due_at"] == "2026-12-02T00:00:00Z"
    wrong = await world.client.put("/v1/recipients/user-17", json={"zone": "Europe/Berln"})
    assert (wrong.status_code, wrong.json()["field"]) == (422, "zone")
    assert "Europe/Berlin" in wrong.json()["hint"]


@pytest.mark.covers("TZ-22")
async def test_where_somebody_lived_is_told(world: World) -> None:
    """Each zone since when; another locale is no other zone. Nobody is told of another tenant's people."""
    path = "/v1/recipients/user-17"
    since = []
    for zone, locale in (("Europe/Berlin", "de"), ("Europe/Berlin", "en"), ("Asia/Tokyo", "en"), (None, "en")):
        since.append(world.clock.now())
        assert (await world.client.put(path, json={"zone": zone, "locale": locale})).status_code == 200
        world.pass_time(days=30)
    told = [
        (item["zone"], datetime.fromisoformat(item["since"])) for item in (await world.get(f"{path}/zones"))["items"]
    ]
    assert told == [("Europe/Berlin", since[0]), ("Asia/Tokyo", since[2]), (None, since[3])]
    assert (await world.other.get(f"{path}/zones")).status_code == 404
