"""How requests are answered: once under a key, never over another's version, in bulk, and for one's own tenant only."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.e2e.live import YEARLY, Live, answered, fresh
from tests.e2e.receiver import Receiver

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e-requests"), pytest.mark.asyncio(loop_scope="module")]


def keyed() -> dict[str, str]:
    """A new Idempotency-Key."""
    return {"Idempotency-Key": str(uuid4())}


def body_to(receiver: Receiver, **fields: Any) -> dict[str, Any]:
    """A schedule for now, to the receiver."""
    return {
        "recipient": fresh(),
        "channel": receiver.channel,
        "content": {"n": 1},
        "timing": {"kind": "now"},
    } | fields


# --- the same request twice ---


@pytest.mark.covers("REL-08")
async def test_the_same_create_is_one_schedule(live: Live, hooks: Receiver) -> None:
    """Ten times at once and once more: one schedule, one release, one answer; another body is refused by name."""
    body, key = body_to(hooks), keyed()
    answers = await asyncio.gather(*(live.client.post("/v1/schedules", json=body, headers=key) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [201] * 10
    assert sum("idempotent-replayed" in answer.headers for answer in answers) == 9
    shown = [answer.json() for answer in answers]
    assert len({item["id"] for item in shown}) == 1
    assert {item["version"] for item in shown} == {1}
    await live.ended(shown[0]["id"])
    again = await live.post("/v1/schedules", body, 201, headers=key)
    assert (again["id"], again["replayed"], again["position"]) == (shown[0]["id"], True, shown[0]["position"])
    problem = await live.post("/v1/schedules", body | {"content": {"n": 2}}, 422, headers=key)
    assert (problem["code"], problem["field"]) == ("idempotency_mismatch", "Idempotency-Key")
    sentinel = await live.post("/v1/schedules", body_to(hooks), 201)
    await live.ended(sentinel["id"])
    assert [request.json["schedule_id"] for request in hooks.requests] == [shown[0]["id"], sentinel["id"]]


async def test_the_same_cancel_is_one_cancel(live: Live) -> None:
    """A repeat gets the first answer; the same key with another reason is refused."""
    created = await live.create(timing=YEARLY)
    path, key = f"/v1/schedules/{created['id']}/cancel", keyed()
    first = await live.post(path, {"reason": "no more"}, headers=key)
    again = await live.post(path, {"reason": "no more"}, headers=key)
    assert (again["version"], again["position"], again["replayed"]) == (2, first["position"], True)
    await live.post(path, {"reason": "something else"}, 422, headers=key)
    history = await live.get(f"/v1/schedules/{created['id']}/history")
    assert len(history["items"]) == 2


async def test_every_verb_can_be_repeated(live: Live) -> None:
    """Pause, resume, skip, un-skip, trigger and clone: under their key each happens once, whatever came between."""
    created = await live.create(timing=YEARLY, recipient=fresh())
    path = f"/v1/schedules/{created['id']}"
    slot = {"slot": created["next"]["slot"]}
    steps: list[tuple[str, Any]] = [
        ("pause", {}),
        ("resume", {}),
        ("skip", slot),
        ("unskip", slot),
        ("trigger", {}),
        ("clone", {"timing": YEARLY}),
    ]
    keys = {verb: keyed() for verb, _ in steps}
    firsts = {}
    for verb, body in steps:
        answer = await live.client.post(f"{path}/{verb}", json=body, headers=keys[verb])
        assert answer.is_success, answer.text
        firsts[verb] = answer.json()
    for verb, body in steps:
        answer = await live.client.post(f"{path}/{verb}", json=body, headers=keys[verb])
        assert answer.is_success, answer.text
        again = answer.json()
        assert again["replayed"] is True
        for name in ("id", "version", "position", "occurrence"):
            assert again.get(name) == firsts[verb].get(name), (verb, name)
    assert len((await live.get(f"{path}/history"))["items"]) == 6


# --- versions ---


@pytest.mark.covers("LIF-02", "SCH-15")
async def test_an_old_version_changes_nothing(live: Live) -> None:
    """If-Match with an old ETag: 412 names the present version; of twenty edits of one version one wins."""
    created = await live.create(timing=YEARLY)
    path = f"/v1/schedules/{created['id']}"
    etag = (await live.client.get(path)).headers["etag"]
    assert etag == '"1"'
    answers = await asyncio.gather(
        *(live.client.patch(path, json={"content": {"n": n}}, headers={"If-Match": etag}) for n in range(2, 22))
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 19
    for answer in answers:
        if answer.status_code == 412:
            assert (answer.json()["code"], answer.json()["field"]) == ("version_mismatch", "If-Match")
    shown = (await live.client.get(path, params={"min_position": await position(live)})).json()
    assert (shown["version"], shown["content"]) == (2, next(a.json()["content"] for a in answers if a.is_success))
    for verb in ("pause", "cancel"):
        answered(await live.client.post(f"{path}/{verb}", json={}, headers={"If-Match": etag}), 412)
    answered(await live.client.delete(path, headers={"If-Match": '"2"'}), 200)


async def test_edits_without_a_version_all_happen(live: Live) -> None:
    """Twenty at once, each of another field or value: every one is a version of its own."""
    created = await live.create(timing=YEARLY)
    path = f"/v1/schedules/{created['id']}"
    answers = await asyncio.gather(*(live.patch(path, {"content": {"n": n}}) for n in range(2, 22)))
    assert sorted(answer["version"] for answer in answers) == list(range(2, 22))


async def position(live: Live) -> int:
    """Of a write that comes after all others."""
    answer = await live.client.put(f"/v1/recipients/{fresh()}", json={})
    head: int = answer.json()["position"]
    return head


async def test_a_dry_run_tells_and_does_nothing(live: Live) -> None:
    """What would change, with the slots before and after; the schedule and its history stay."""
    created = await live.create(timing=YEARLY)
    path = f"/v1/schedules/{created['id']}"
    later = {**YEARLY, "cron": "0 9 2 1 *"}
    told = await live.patch(f"{path}?dry_run=true", {"timing": later, "content": {"n": 2}})
    assert {field.partition(".")[0] for field in told["changed"]} == {"timing", "content"}
    assert told["slots_before"][0]["slot"][5:] == "01-01T09:00:00"
    assert told["slots_after"][0]["slot"][5:] == "01-02T09:00:00"
    assert (await live.patch(f"{path}?dry_run=true", {"timing": {**YEARLY, "cron": "0 9"}}, 422))["field"]
    shown = await live.get(path, min_position=await position(live))
    assert (shown["version"], shown["content"], shown["timing"]["cron"]) == (1, {"n": 1}, "0 9 1 1 *")


async def test_what_was_written_can_be_read_at_once(live: Live) -> None:
    """With the position of the write, in the list and by id, after each of fifty writes."""
    tag = fresh("tag")
    for n in range(1, 26):
        created = await live.create(timing=YEARLY, tags=[tag])
        page = await live.get("/v1/schedules", tag=tag, min_position=created["position"], limit=100)
        assert len(page["items"]) == n
        changed = await live.patch(f"/v1/schedules/{created['id']}", {"priority": 5})
        shown = await live.client.get(
            f"/v1/schedules/{created['id']}", headers={"X-Min-Position": str(changed["position"])}
        )
        assert shown.json()["priority"] == 5
        assert shown.headers["etag"] == '"2"'


# --- bulk ---


@pytest.mark.covers("SCH-06", "SCH-08", "LIF-05")
@pytest.mark.parametrize("form", ["json", "ndjson"])
async def test_bad_items_of_a_bulk_do_not_hold_the_good_ones(live: Live, hooks: Receiver, form: str) -> None:
    """Each item has its result, in order, with the problem of the bad ones; a repeat under the key adds nothing."""
    good = [body_to(hooks, content={"n": n}) for n in range(20)]
    bad: list[Any] = [
        body_to(hooks, timing={"kind": "at", "at": "2001-01-01T00:00:00Z"}),
        body_to(hooks, channel="pigeon:roof"),
        {"channel": "log:"},
        17,
        body_to(hooks, content={"text": "a\u0000b"}),
        body_to(hooks, timing={"kind": "every", "cron": "61 * * * *"}),
    ]
    items: list[Any] = [*good[:5], *bad[:3], *good[5:15], *bad[3:], *good[15:]]
    key = keyed()

    async def send() -> list[dict[str, Any]]:
        if form == "json":
            shown = await live.post("/v1/schedules/bulk", items, headers=key)
            assert shown["created"] + shown["replayed"] == 20
            assert shown["rejected"] == 6
            found: list[dict[str, Any]] = shown["items"]
            return found
        kinds = {"Content-Type": "application/x-ndjson", "Accept": "application/x-ndjson", **key}
        lines = "\n".join([*map(json.dumps, items)])
        answer = await live.client.post("/v1/schedules/bulk", content=lines, headers=kinds)
        return [json.loads(line) for line in answer.text.splitlines()]

    results = await send()
    assert [result["index"] for result in results] == list(range(len(items)))
    expected = [201 if item in good else 422 for item in items]
    assert [result["status"] for result in results] == expected
    for result in results:
        if result["status"] == 422:
            assert result["error"]["title"], result
            assert result["error"]["instance"].endswith(f"#{result['index']}")
    created = [result["id"] for result in results if result["status"] == 201]
    await asyncio.gather(*map(live.ended, created))
    assert sorted(request.json["content"]["n"] for request in hooks.requests) == list(range(20))
    again = await send()
    assert [result["id"] for result in again] == [result["id"] for result in results]
    assert [result["status"] for result in again] == expected
    sentinel = await live.post("/v1/schedules", body_to(hooks), 201)
    await live.ended(sentinel["id"])
    assert len(hooks.requests) == 21


async def test_one_broken_line_is_one_bad_item(live: Live, hooks: Receiver) -> None:
    """NDJSON with a line that is no JSON: that line is refused, its neighbours stand."""
    lines = [json.dumps(body_to(hooks)), "{not json", json.dumps(body_to(hooks))]
    kinds = {"Content-Type": "application/x-ndjson", "Accept": "application/x-ndjson"}
    answer = await live.client.post("/v1/schedules/bulk", content="\n".join(lines), headers=kinds)
    assert [json.loads(line)["status"] for line in answer.text.splitlines()] == [201, 400, 201]
    await hooks.received(2)


async def test_the_same_idempotency_key_of_two_tenants_is_two_schedules(
    live: Live, other: httpx.AsyncClient, hooks: Receiver
) -> None:
    """Keys are each tenant's own: nobody learns of, or takes, another's request."""
    body, key = body_to(hooks), keyed()
    mine = answered(await live.client.post("/v1/schedules", json=body, headers=key), 201)
    yours = answered(await other.post("/v1/schedules", json=body, headers=key), 201)
    assert mine["id"] != yours["id"]
    requests = await hooks.received(2)
    assert {request.json["schedule_id"] for request in requests} == {mine["id"], yours["id"]}
