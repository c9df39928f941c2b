"""Engagement, best times and models over HTTP."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from tests.api.world import LOG_NOW, NOW, World

BEST = {"kind": "best", "from": "2026-12-02T08:00", "to": "2026-12-02T20:00", "zone": "recipient"}


async def report(world: World, *reports: dict[str, Any]) -> dict[str, Any]:
    answer = await world.client.post("/v1/engagements", json=list(reports))
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


async def released(world: World) -> str:
    """The id of an occurrence that was delivered an hour ago."""
    await world.create(LOG_NOW)
    (attempt,) = await world.claim_due()
    await world.deliver(attempt)
    world.pass_time(hours=1)
    return str(attempt.occurrence.id)


def opened(occurrence: str, id_: str = "e-1", **more: Any) -> dict[str, Any]:
    at = (NOW + timedelta(minutes=50)).isoformat()
    return {"id": id_, "kind": "opened", "at": at, "occurrence_id": occurrence, **more}


@pytest.mark.covers("OPT-01", "OPT-28")
async def test_a_report_is_stored_once_whatever_the_order(world: World) -> None:
    """The same id again is known, another body under it is refused; within a batch, too."""
    occurrence = await released(world)
    first = await report(world, opened(occurrence), opened(occurrence))
    assert [item["status"] for item in first["items"]] == [201, 200]
    assert first["items"][0]["answers"] is True
    again = await report(world, opened(occurrence), opened(occurrence, kind="clicked"))
    assert [item["status"] for item in again["items"]] == [200, 422]
    assert again["items"][1]["error"]["code"] == "idempotency_mismatch"
    shown = await world.get(f"/v1/occurrences/{occurrence}")
    assert shown["engagement"] == {"opened": "2026-12-01T08:50:00+00:00", "answered": True}
    story = (await world.get(f"/v1/occurrences/{occurrence}/explain"))["story"]
    assert "opened it at 2026-12-01 08:50:00" in story[-1]


async def test_each_report_stands_for_itself(world: World) -> None:
    """A bad one is refused by field, and the others are stored; another tenant's release is nobody's."""
    occurrence = await released(world)
    shown = await report(
        world,
        {"id": "a-1", "kind": "active", "at": NOW.isoformat(), "recipient": "user-17"},
        {"id": "a-2", "kind": "active", "at": NOW.isoformat()},
        {"id": "a-3", "kind": "dancing", "at": NOW.isoformat(), "recipient": "user-17"},
        opened(str(uuid4()), "a-4"),
        opened(occurrence, "a-5", at=(NOW - timedelta(days=31)).isoformat()),
        opened(occurrence, "a-6", agent="Mozilla/5.0"),
    )
    fields = [item["error"] and item["error"]["field"] for item in shown["items"]]
    assert fields == [None, "occurrence_id", "kind", "occurrence_id", "at", None]
    assert (shown["stored"], shown["rejected"], shown["machines"]) == (2, 4, 1)
    foreign = await world.other.post("/v1/engagements", json=[opened(occurrence, "a-7")])
    assert foreign.json()["items"][0]["status"] == 404
    bodies: list[Any] = [{}, "x", [1] * 10_001]
    for body in bodies:
        assert (await world.client.post("/v1/engagements", json=body)).status_code == 422


@pytest.mark.covers("OPT-06", "OPT-11", "OPT-26")
async def test_best_times_of_nobody_in_particular_say_so(world: World) -> None:
    """No evidence, the default hour; what is set by hand shows, and a plan keeps to it within its window."""
    shown = await world.get("/v1/recipients/user-17/best-times")
    assert shown["evidence"] == {"asked": 0.0, "answered": 0.0, "active": 0.0}
    assert {(moment["at"], moment["level"]) for moment in shown["best"]} == {("09:00", "default")}
    assert [len(shown["hours"]), *{len(hours) for hours in shown["hours"].values()}] == [7, 24]
    profile = {"zone": "Europe/Berlin", "best_time": "18:30", "segment": "owls"}
    assert (await world.client.put("/v1/recipients/user-17", json=profile)).json()["best_time"] == "18:30"
    shown = await world.get("/v1/recipients/user-17/best-times")
    assert {(moment["at"], moment["level"]) for moment in shown["best"]} == {("18:30", "override")}
    created = await world.create(LOG_NOW, timing=BEST)
    assert created["next"]["due_at"] == "2026-12-02T17:30:00Z"
    assert "set by hand" in str(created["next"]["reasons"])
    bounded = await world.create(LOG_NOW, timing=BEST | {"hours": {"start": "09:00", "end": "17:00"}})
    assert bounded["next"]["due_at"] == "2026-12-02T15:45:00Z"


async def test_the_heat_map_is_a_picture_of_the_same(world: World) -> None:
    """By Accept or by format; a name that looks like markup stays a name."""
    name = "<script>"
    for asked in ({"params": {"format": "svg"}}, {"headers": {"Accept": "image/svg+xml"}}):
        answer = await world.client.get(f"/v1/recipients/{name}/best-times", **asked)  # type: ignore[arg-type]
        assert answer.headers["content-type"].startswith("image/svg+xml")
        assert answer.text.count("<rect") == 7 * 24 + 1
        assert name not in answer.text


async def test_forgetting_removes_what_was_learnt(world: World) -> None:
    """And learning begins anew with what comes."""
    seen = {"id": "s-1", "kind": "active", "at": NOW.isoformat(), "recipient": "user-17"}
    await report(world, seen)
    assert (await world.get("/v1/recipients/user-17/best-times"))["evidence"]["active"] == pytest.approx(1, abs=0.1)
    answer = await world.client.delete("/v1/recipients/user-17/best-times")
    assert answer.status_code == 200, answer.text
    assert (await world.get("/v1/recipients/user-17/best-times"))["evidence"]["active"] == 0.0
    assert (await report(world, seen))["repeated"] == 1
    assert (await world.get("/v1/recipients/user-17/best-times"))["evidence"]["active"] == 0.0


async def test_a_model_is_fitted_to_enough_only(world: World) -> None:
    """With nothing known nothing is stored."""
    assert (await world.client.post("/v1/models/fit")).json() == {"fitted": False, "model": None}
    assert (await world.get("/v1/models"))["items"] == []
