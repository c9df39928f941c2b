"""Tenants see, change and learn nothing of each other's things, whatever they ask for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from tests.e2e.live import YEARLY, Live, answered, fresh, of
from tests.e2e.receiver import Receiver
from tests.e2e.talking import PATIENCE_S

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e-tenants"), pytest.mark.asyncio(loop_scope="module")]


@dataclass(frozen=True)
class Ours:
    """Things of the tenant `default`, by the name that paths give their ids."""

    ids: dict[str, str]
    recipient: str


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ours(live: Live) -> AsyncIterator[Ours]:
    """A schedule with a slot to come, its dead-lettered occurrence, a key, a recipient, a calendar, a feed."""
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
        feed = await live.post("/v1/feeds", {"label": "ours"}, 201)
        yield Ours(
            {
                "schedule_id": created["id"],
                "occurrence_id": triggered["occurrence"],
                "key_id": key["id"],
                "recipient_id": recipient,
                "calendar_id": recipient,
                "feed_id": feed["id"],
                # Newer zone data makes one, which this service never sees: tests/api/test_zone_reports.py has one.
                "change_id": str(uuid4()),
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
        # What a token opens is behind no key: whoever knows it may read.
        if "{" in path and "{token}" not in path
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
        elif path in ("/v1/recipients/{recipient_id}/timeline", "/v1/recipients/{recipient_id}/moves"):
            assert answer.json()["items"] == [], where
        elif path.startswith("/v1/recipients/{recipient_id}/best-times"):
            # Of somebody of whom their tenant knows nothing, or the zone of whom they have put.
            assert (answer.status_code < 500, "Tokyo" in answer.text) == (True, False), where
        elif path in ("/v1/recipients/{recipient_id}", "/v1/recipients/{recipient_id}/zones"):
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
        if method == "GET" and not path.endswith(("/preview", "/explain", "/open", "{change_id}")):
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
    async with asyncio.timeout(PATIENCE_S):
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


async def test_a_calendar_file_of_the_same_names_is_each_tenants_own(live: Live, other: httpx.AsyncClient) -> None:
    """UIDs make a second import of a file add nothing, but not another tenant's first."""
    event = f"UID:{fresh()}\nDTSTART:20300101T090000Z\nRRULE:FREQ=YEARLY\nATTENDEE:mailto:ann@example.com"
    file = f"BEGIN:VCALENDAR\nBEGIN:VEVENT\n{event}\nEND:VEVENT\nEND:VCALENDAR\n".replace("\n", "\r\n")
    headers = {"Content-Type": "text/calendar"}
    found = []
    for client in (live.client, other, live.client):
        answer = await client.post("/v1/schedules/import?channel=log:", content=file, headers=headers)
        (item,) = answered(answer, 200)["items"]
        found.append((item["id"], item["replayed"]))
    (ours, _), (theirs, replayed), again = found
    assert (ours != theirs, replayed, again) == (True, False, (ours, True))
    assert (await other.get(f"/v1/schedules/{ours}")).status_code == 404
