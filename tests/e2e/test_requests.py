"""How requests are answered: once under a key, never over another's version, in bulk, and for one's own tenant only."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from tests.e2e.live import Live, answered, command, fresh, of, running
from tests.e2e.profiles import Profile
from tests.e2e.receiver import Receiver

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e-requests"), pytest.mark.asyncio(loop_scope="module")]

YEARLY = {"kind": "every", "cron": "0 9 1 1 *", "zone": "UTC"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(profile: Profile) -> AsyncIterator[Live]:
    """The service, on real time."""
    async with running(profile) as live:
        yield live


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def other(live: Live) -> AsyncIterator[httpx.AsyncClient]:
    """An admin of another tenant, whose key the operator issued on the machine."""
    issued = await command(live.service, "keys", "issue", "globex", "--tenant", "globex", "--scope", "admin")
    async with live.service.client(issued["key"]) as client:
        yield client


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


# --- tenants ---


@dataclass(frozen=True)
class Ours:
    """Things of the tenant `default`, by the name that paths give their ids."""

    ids: dict[str, str]
    recipient: str


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ours(live: Live) -> AsyncIterator[Ours]:
    """A schedule with a slot to come, its dead-lettered occurrence, a key, a recipient, a calendar."""
    async with Receiver() as receiver:
        receiver.script(410)
        recipient = fresh()
        (await live.client.put(f"/v1/recipients/{recipient}", json={"zone": "Asia/Tokyo"})).raise_for_status()
        created = await live.create(channel=receiver.channel, timing=YEARLY, recipient=recipient)
        triggered = await live.post(f"/v1/schedules/{created['id']}/trigger", None, 202)
        await live.ended(created["id"])
        key = await live.post("/v1/keys", {"label": "ours"}, 201)
        days = [{"date": "2030-05-17", "name": f"the day of {recipient}"}]
        (await live.client.put(f"/v1/calendars/{recipient}", json={"days": days})).raise_for_status()
        yield Ours(
            {
                "schedule_id": created["id"],
                "occurrence_id": triggered["occurrence"],
                "key_id": key["id"],
                "recipient_id": recipient,
                "calendar_id": recipient,
            },
            recipient,
        )


async def operations(live: Live) -> list[tuple[str, str, dict[str, Any]]]:
    """Method, path and description of every operation on one thing, as the API documents itself."""
    document = (await live.client.get("/openapi.json")).json()
    return [
        (method.upper(), path, described)
        for path, methods in document["paths"].items()
        for method, described in methods.items()
        if "{" in path
    ]


def example(described: dict[str, Any]) -> Any:
    """The documented example of the request's body."""
    content = described.get("requestBody", {}).get("content", {}).get("application/json", {})
    examples = content.get("examples", {})
    return next(iter(examples.values()))["value"] if examples else content.get("example", {})


def asked(described: dict[str, Any]) -> dict[str, str]:
    """Examples of the query parameters that must be given."""
    found = {}
    for parameter in described.get("parameters", []):
        if parameter["in"] == "query" and parameter.get("required"):
            examples = parameter.get("schema", {}).get("examples") or [parameter["example"]]
            found[parameter["name"]] = examples[0]
    return found


@pytest.mark.covers("SEC-02", "ACC-20", "ACC-22")
async def test_another_tenants_key_finds_nothing_of_ours(live: Live, other: httpx.AsyncClient, ours: Ours) -> None:
    """Every documented operation on a thing of ours is 404, as if it were not there; nothing of ours is changed.

    Recipients and calendars are named by each tenant itself: there the same name is another person, other days.
    """
    before = await everything(live, ours)
    walked = 0
    for method, path, described in await operations(live):
        filled = path.format(**ours.ids)
        answer = await other.request(method, filled, json=example(described), params=asked(described))
        where = f"{method} {path}: {answer.status_code} {answer.text[:300]}"
        if (method, path) == ("PUT", "/v1/recipients/{recipient_id}"):
            assert (answer.status_code, answer.json()["version"]) == (200, 1), where
        elif "{calendar_id}" in path:
            # Theirs, if they have put one of that name by now.
            assert (answer.status_code < 500, "the day of " in answer.text) == (True, False), where
        elif path == "/v1/recipients/{recipient_id}/timeline":
            assert answer.json()["items"] == [], where
        elif path == "/v1/recipients/{recipient_id}":
            # Theirs, if they have put one of that name by now.
            assert answer.status_code == 404 or "Tokyo" not in answer.text, where
        else:
            assert answer.status_code == 404, where
            assert answer.json()["code"] == "not_found", where
        named = "recipient_id" in path or "calendar_id" in path
        assert named or ours.recipient not in answer.text, where
        walked += 1
    assert walked > 20
    assert await everything(live, ours) == before


async def everything(live: Live, ours: Ours) -> list[Any]:
    """All that can be read of our things; shows, too, that each can be read with the right key."""
    found = []
    for method, path, described in await operations(live):
        # The walk's own issuing of nothing must show as no difference; readings of the clock do not count.
        if method == "GET" and not path.endswith(("/preview", "/explain", "/open")):
            answer = await live.client.get(path.format(**ours.ids), params=asked(described))
            assert answer.status_code == 200, f"{path}: {answer.text}"
            found.append(answer.json())
    keys = await live.get("/v1/keys")
    return [*found, [(key["id"], key["status"]) for key in keys["items"]]]


async def test_another_tenant_sees_nothing_in_lists_and_streams(
    live: Live, other: httpx.AsyncClient, ours: Ours
) -> None:
    """Lists, dead letters, keys and the stream from its beginning hold their own things only."""
    theirs = await live.service.create(other)
    stream = live.service.events(key=other.headers["authorization"].removeprefix("Bearer "))
    told = []
    async with asyncio.timeout(60):
        async for event in stream:
            told.append(event)
            if of(theirs["id"], "occurrence.ended.v1")(event):
                break
    await stream.aclose()  # type: ignore[attr-defined]
    mine = {event["position"] for event in live.told}
    assert mine.isdisjoint(event["position"] for event in told)
    assert {event["event"].partition(".")[0] for event in told} <= {
        "calendar",
        "key",
        "schedule",
        "occurrence",
        "recipient",
    }
    assert not [event for event in live.told if event["stream"] == theirs["id"]]

    schedules = answered(await other.get("/v1/schedules", params={"min_position": theirs["position"]}), 200)
    assert [item["id"] for item in schedules["items"]] == [theirs["id"]]
    assert answered(await other.get("/v1/schedules", params={"recipient": ours.recipient}), 200)["items"] == []
    assert answered(await other.get("/v1/dead-letters"), 200)["items"] == []
    assert answered(await other.post("/v1/dead-letters/replay", json={}), 202)["items"] == []
    keys = answered(await other.get("/v1/keys"), 200)["items"]
    assert [key["label"] for key in keys] == ["globex"]
    assert answered(await other.get("/v1/me"), 200)["tenant"] == "globex"
    secrets = [answered(await client.get("/v1/signing-secret"), 200)["secret"] for client in (live.client, other)]
    assert secrets[0] != secrets[1]


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
