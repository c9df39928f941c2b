"""Creating and reading schedules over HTTP."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from horae.api.models.schedules import CREATE_EXAMPLES
from tests.api.world import DAILY, LOG_NOW, World


@pytest.mark.covers("SCH-07", "LIF-13")
async def test_a_created_schedule_can_be_read_by_its_position(world: World) -> None:
    """POST answers id, version, position and the next instant; GET with that position shows the same schedule."""
    answer = await world.client.post("/v1/schedules", json=DAILY)
    created = answer.json()
    assert answer.status_code == 201
    assert answer.headers["etag"] == '"1"'
    assert answer.headers["location"] == f"/v1/schedules/{created['id']}"
    assert created["next_due_at"] == "2026-12-02T08:00:00Z"
    assert created["status"] == "pending"
    assert created["timing"]["cron"] == "0 9 * * *"
    read = await world.get(f"/v1/schedules/{created['id']}", min_position=created["position"])
    ours = {name: value for name, value in created.items() if name not in ("fired", "missed", "position")}
    assert {name: read[name] for name in ours} == ours
    assert read["fired"] == 0


async def test_what_was_just_created_is_found_without_waiting(world: World) -> None:
    """GET without min_position falls back on the log, so that a client always reads its own write."""
    created = await world.create()
    answer = await world.client.get(f"/v1/schedules/{created['id']}")
    assert answer.status_code == 200
    assert answer.json()["id"] == created["id"]


@pytest.mark.parametrize("name", list(CREATE_EXAMPLES))
async def test_each_documented_example_is_accepted(world: World, name: str) -> None:
    """What the documentation shows as a request is one."""
    answer = await world.client.post("/v1/schedules", json=CREATE_EXAMPLES[name])
    assert answer.status_code == 201, answer.text


async def test_the_same_request_under_a_key_gets_the_first_answer(world: World) -> None:
    """A repeat under an Idempotency-Key is 200 with the same id and position; another body is 422."""
    headers = {"Idempotency-Key": "order-1"}
    first = await world.client.post("/v1/schedules", json=LOG_NOW, headers=headers)
    again = await world.client.post("/v1/schedules", json=dict(reversed(LOG_NOW.items())), headers=headers)
    other = await world.client.post("/v1/schedules", json=DAILY, headers=headers)
    theirs = await world.other.post("/v1/schedules", json=DAILY, headers=headers)
    assert (first.status_code, again.status_code, other.status_code, theirs.status_code) == (201, 201, 422, 201)
    assert ("idempotent-replayed" in first.headers, again.headers["idempotent-replayed"]) == (False, "true")
    assert again.json() == {**first.json(), "replayed": True}
    assert other.json()["code"] == "idempotency_mismatch"
    assert other.json()["field"] == "Idempotency-Key"


@pytest.mark.covers("LIF-14")
async def test_lists_filter_and_page(world: World) -> None:
    """Filters hold together; cursors walk every item once, newest first."""
    made = [await world.create(tags=["a", f"n{n}"], priority=1 + n % 2) for n in range(5)]
    await world.create(recipient="somebody else")
    page = await world.get("/v1/schedules", tag="a", limit=2)
    seen = [item["id"] for item in page["items"]]
    while page["next"]:
        page = await world.get("/v1/schedules", tag="a", limit=2, cursor=page["next"])
        seen += [item["id"] for item in page["items"]]
    assert seen == [item["id"] for item in reversed(made)]
    narrow = await world.get("/v1/schedules", recipient="user-17", priority=2, status="pending", kind="every")
    assert {item["id"] for item in narrow["items"]} == {made[1]["id"], made[3]["id"]}
    soonest = await world.get("/v1/schedules", order="due", due_from="2026-12-02T00:00:00Z", limit=500)
    assert len(soonest["items"]) == 6
    assert (await world.get("/v1/schedules", due_from="2027-12-02T00:00:00+01:00"))["items"] == []


async def test_as_of_reads_the_past(world: World) -> None:
    """as_of an instant or a position shows the schedule as it was asked for then; before its creation it is 404."""
    created = await world.create(tags=["old"])
    world.pass_time(hours=1)
    await world.client.patch(f"/v1/schedules/{created['id']}", json={"tags": ["new"]})
    path = f"/v1/schedules/{created['id']}"
    assert (await world.get(path))["tags"] == ["new"]
    assert (await world.get(path, as_of=str(created["position"])))["tags"] == ["old"]
    assert (await world.get(path, as_of="2026-12-01T08:30:00Z"))["version"] == 1
    before = await world.client.get(path, params={"as_of": "2026-12-01T07:00:00+00:00"})
    assert before.status_code == 404
    assert (await world.client.get(path, params={"as_of": "yesterday"})).json()["field"] == "as_of"


async def test_another_tenants_schedule_does_not_exist(world: World) -> None:
    """Every operation on another tenant's id answers exactly like one on an id that nobody has."""
    created = await world.create()
    for method, path, body in [
        ("GET", "", None),
        ("PATCH", "", {"priority": 3}),
        ("DELETE", "", None),
        ("POST", "/pause", {}),
        ("POST", "/resume", {}),
        ("POST", "/cancel", {}),
        ("POST", "/trigger", {}),
        ("POST", "/clone", {}),
        ("POST", "/skip", {"slot": "2026-12-02T09:00"}),
        ("POST", "/unskip", {"slot": "2026-12-02T09:00"}),
        ("GET", "/history", None),
        ("GET", "/occurrences", None),
        ("GET", "/preview", None),
        ("GET", "/diff", None),
        ("GET", "/explain?slot=2026-12-02T09:00", None),
    ]:
        answers = []
        for schedule in (created["id"], str(uuid4())):
            answer = await world.other.request(method, f"/v1/schedules/{schedule}{path}", json=body)
            answers.append((answer.status_code, _anonymous(answer.json())))
        assert answers[0] == answers[1], (method, path)
        assert answers[0][0] == 404, (method, path)
    assert (await world.get(f"/v1/schedules/{created['id']}"))["version"] == 1


def _anonymous(problem: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in problem.items() if name not in ("value", "instance", "request_id")}


@pytest.mark.covers("SCH-03", "TZ-04")
async def test_words_are_read_where_the_recipient_is_and_in_their_language(world: World) -> None:
    """What was understood is echoed; what may mean several times is refused with each of them."""
    await world.client.put("/v1/recipients/user-17", json={"zone": "Asia/Tokyo", "locale": "de-DE"})
    shown = await world.create(timing={"kind": "phrase", "text": "morgen um 9 Uhr"})
    assert (shown["timing"]["understood"]["local"], shown["timing"]["locale"]) == ("2026-12-02T09:00:00", "de")
    assert shown["next_due_at"] == "2026-12-02T00:00:00Z"
    body = {"timing": {"kind": "phrase", "text": "3/4/2027 at 7", "locale": "en-GB"}, "recipient": "user-17"}
    asked = await world.client.post("/v1/timings/preview", json=body)
    assert (asked.status_code, asked.json()["field"]) == (422, "timing.text")
    assert asked.json()["candidates"] == ["2027-04-03T07:00:00", "2027-04-03T19:00:00"]
