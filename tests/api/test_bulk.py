"""Many schedules in one request."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api.world import DAILY, LOG_NOW, World

BAD: dict[str, Any] = {**DAILY, "timing": {"kind": "every", "cron": "nonsense", "zone": "UTC"}}


@pytest.mark.covers("SCH-06", "SCH-08")
async def test_each_item_stands_for_itself(world: World) -> None:
    """Results come in the items' order; bad items are refused with the field's path, the others are stored."""
    items = [LOG_NOW, BAD, {**LOG_NOW, "prioirty": 3}, 7, DAILY]
    answer = await world.client.post("/v1/schedules/bulk", json=items)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["created"], told["rejected"], told["replayed"]) == (2, 3, 0)
    assert [item["status"] for item in told["items"]] == [201, 422, 422, 422, 201]
    assert [item["index"] for item in told["items"]] == [0, 1, 2, 3, 4]
    assert told["items"][1]["error"]["field"] == "timing.cron"
    assert told["items"][2]["error"]["hint"] == "Did you mean `priority`?"
    listed = await world.get("/v1/schedules", min_position=told["position"])
    assert {item["id"] for item in listed["items"]} == {told["items"][0]["id"], told["items"][4]["id"]}


async def test_ndjson_in_and_out(world: World) -> None:
    """One schedule per line in, one result per line out, over several chunks; a broken line spoils only itself."""
    lines = [json.dumps({**LOG_NOW, "recipient": f"user-{n}"}) for n in range(450)]
    lines[7] = '{"recipient": '
    lines[8] = '{"recipient": "\\ud800", "channel": "log:", "timing": {"kind": "now"}}'
    answer = await world.client.post(
        "/v1/schedules/bulk",
        content="\n".join(lines),
        headers={"Content-Type": "application/x-ndjson", "Accept": "application/x-ndjson"},
    )
    assert answer.headers["content-type"] == "application/x-ndjson"
    results = [json.loads(line) for line in answer.text.splitlines()]
    assert [result["index"] for result in results] == list(range(450))
    assert {result["index"]: result["status"] for result in results if result["status"] != 201} == {7: 400, 8: 422}


async def test_repeating_a_bulk_request_adds_nothing(world: World) -> None:
    """Under the request's key each item is known by its place; under an item's own key wherever it stands."""
    headers = {"Idempotency-Key": "load-1"}
    items = [LOG_NOW, {**DAILY, "idempotency_key": "row-2"}]
    first = (await world.client.post("/v1/schedules/bulk", json=items, headers=headers)).json()
    again = (await world.client.post("/v1/schedules/bulk", json=items, headers=headers)).json()
    assert (again["created"], again["replayed"]) == (0, 2)
    assert [item["id"] for item in again["items"]] == [item["id"] for item in first["items"]]
    moved = (await world.client.post("/v1/schedules/bulk", json=items[1:])).json()
    assert moved["items"][0]["id"] == first["items"][1]["id"]
    assert len((await world.get("/v1/schedules"))["items"]) == 2


async def test_what_is_not_a_list_is_refused(world: World) -> None:
    """A single object, or another content type, is refused as a whole."""
    single = await world.client.post("/v1/schedules/bulk", json=LOG_NOW)
    assert (single.status_code, single.json()["field"]) == (422, "body")
    text = await world.client.post("/v1/schedules/bulk", content="a,b", headers={"Content-Type": "text/csv"})
    assert (text.status_code, text.json()["field"]) == (415, "Content-Type")


NINE = {"channel": "log:", "timing": {"kind": "at", "local": "2026-12-01T09:00", "zone": "recipient"}}
"""Where it is nine o'clock on the day on which it is 08:00 UTC."""


async def people(world: World) -> list[str]:
    """One for whom nine o'clock is to come, one for whom it has passed, one of whom no zone is known."""
    await world.client.put("/v1/recipients/new-york", json={"zone": "America/New_York"})
    await world.client.put("/v1/recipients/tokyo", json={"zone": "Asia/Tokyo"})
    return ["new-york", "tokyo", "somewhere"]


@pytest.mark.covers("TZ-06", "SCH-06")
@pytest.mark.parametrize(
    ("rules", "due"),
    [
        ({}, ["2026-12-01T14:00:00Z", 422, "2026-12-01T09:00:00Z"]),
        ({"if_past": "now"}, ["2026-12-01T14:00:00Z", "2026-12-01T08:00:00Z", "2026-12-01T09:00:00Z"]),
        ({"if_past": "next_day"}, ["2026-12-01T14:00:00Z", "2026-12-02T00:00:00Z", "2026-12-01T09:00:00Z"]),
        ({"if_past": "skip"}, ["2026-12-01T14:00:00Z", "past_skipped", "2026-12-01T09:00:00Z"]),
        ({"if_past": "skip", "if_no_zone": "skip"}, ["2026-12-01T14:00:00Z", "past_skipped", "zone_unknown"]),
    ],
)
async def test_nine_o_clock_wherever_they_are(world: World, rules: dict[str, str], due: list[Any]) -> None:
    """Each has it on their own clock; those for whom it has passed, or whose zone is unknown, by rule."""
    body = {"recipients": await people(world), "schedule": NINE, **rules}
    told = (await world.client.post("/v1/schedules/bulk", json=body)).json()
    found = [
        item["next_due_at"] or (item["error"]["status"] if item["error"] else item["skipped"]["code"])
        for item in told["items"]
    ]
    assert found == due
    skipped = sum(item["skipped"] is not None for item in told["items"])
    assert (told["created"], told["skipped"], told["rejected"]) == (
        3 - skipped - due.count(422),
        skipped,
        due.count(422),
    )


@pytest.mark.covers("TZ-06")
async def test_one_instant_everywhere(world: World) -> None:
    """An instant is the same for everybody, so that nothing of it can have passed for one alone."""
    timing = {"kind": "at", "at": "2026-12-01T09:00:00Z"}
    body = {"recipients": await people(world), "schedule": NINE | {"timing": timing}, "if_no_zone": "skip"}
    told = (await world.client.post("/v1/schedules/bulk", json=body)).json()
    assert [item["next_due_at"] for item in told["items"]] == ["2026-12-01T09:00:00Z"] * 3


async def test_why_it_goes_out_another_day_is_told(world: World) -> None:
    """The plan of the slot says so, and it is said again when the occurrence is explained."""
    await people(world)
    item = NINE | {"recipient": "tokyo", "if_past": "next_day", "idempotency_key": "once"}
    first = (await world.client.post("/v1/schedules/bulk", json=[item])).json()["items"][0]
    shown = await world.get(f"/v1/schedules/{first['id']}")
    assert shown["timing"]["local"] == "2026-12-02T09:00:00"
    world.pass_time(hours=17)
    (attempt,) = await world.claim_due()
    assert attempt.occurrence.plan is not None
    assert "2026-12-01 09:00 in Asia/Tokyo has passed" in attempt.occurrence.plan.reasons[0].text
    # The same item again, when another day has come, is answered as it was.
    again = (await world.client.post("/v1/schedules/bulk", json=[item])).json()["items"][0]
    assert (again["id"], again["replayed"]) == (first["id"], True)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"recipients": [], "schedule": NINE}, "recipients"),
        ({"recipients": ["a"], "schedule": NINE | {"recipient": "b"}}, "schedule.recipient"),
        ({"recipients": ["a"], "schedule": NINE | {"idempotency_key": "k"}}, "schedule.idempotency_key"),
        ({"recipients": ["a"], "schedule": NINE, "if_past": "perhaps"}, "if_past"),
    ],
)
async def test_what_cannot_be_for_everybody_is_refused(world: World, body: dict[str, Any], field: str) -> None:
    """As a whole, naming the field; what is wrong for each alone is a result of their own."""
    answer = await world.client.post("/v1/schedules/bulk", json=body)
    assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text
    timing = {"kind": "in", "delay": "PT1H"}
    each = {"recipients": ["a"], "schedule": NINE | {"timing": timing}, "if_past": "now"}
    told = (await world.client.post("/v1/schedules/bulk", json=each)).json()
    assert told["items"][0]["error"]["field"] == "if_past"
