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
