"""From asking to the receiver's answer and back, on real time: signed, retried, given up, replayed, and explained."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from tests.e2e.live import Live, decision, fresh, of
from tests.e2e.receiver import Answer, Receiver

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e-delivery"), pytest.mark.asyncio(loop_scope="module")]

AT_ONCE = {"strategy": "fixed", "retries": 2, "delay": "PT0.05S", "max_delay": "PT0.05S"}
ONCE = {"mode": "at_most_once", "retry": AT_ONCE}


async def ended(live: Live, schedule: str, count: int = 1) -> dict[str, Any]:
    """The last outcome of the schedule's only occurrence, as the stream tells it."""
    outcome: dict[str, Any] = (await live.ended(schedule, count))[-1]["data"]
    return outcome


@pytest.mark.covers("SCH-01", "SCH-07", "DSP-36")
@pytest.mark.parametrize("kind", ["now", "at", "at-local", "in", "phrase", "every"])
async def test_from_asking_to_explaining(live: Live, hooks: Receiver, kind: str) -> None:
    """Each kind of timing fires on real time, and its story holds every fact from the asking to the outcome."""
    soon = datetime.now(UTC) + timedelta(seconds=1)
    timings: dict[str, dict[str, Any]] = {
        "now": {"kind": "now"},
        "at": {"kind": "at", "at": soon.isoformat()},
        "at-local": {"kind": "at", "local": soon.replace(tzinfo=None).isoformat(), "zone": "UTC"},
        "in": {"kind": "in", "delay": "PT0.5S", "zone": "Europe/Berlin"},
        "phrase": {"kind": "phrase", "text": "in 1 second", "zone": "Asia/Tokyo"},
        "every": {"kind": "every", "rrule": "FREQ=SECONDLY", "zone": "Europe/Berlin", "count": 1},
    }
    timing = timings[kind]
    created = await live.create(
        channel=hooks.channel, timing=timing, recipient=fresh(), content={"subject": "Grüße, 世界"}, priority=3
    )
    (request,) = await hooks.received(1)
    await live.ended(created["id"])
    body = request.json
    assert (body["schedule_id"], body["due_at"]) == (created["id"], created["next_due_at"])
    assert (body["recipient"], body["content"], body["attempt"]) == (
        created["recipient"],
        {"subject": "Grüße, 世界"},
        1,
    )
    explained = await live.explain(request.occurrence)
    assert (explained["schedule"], explained["occurrence"]) == (created["id"], body["occurrence_id"])
    assert (explained["verdict"], explained["released"], explained["slot"]) == ("delivered", True, body["slot"])
    plan = created["next"]
    assert decision(explained, "zone")["facts"] == {"zone": plan["zone"], "source": plan["zone_source"]}
    assert decision(explained, "tzdata")["facts"] == {"version": plan["tzdata"]}
    asked, claimed, outcome = (decision(explained, code) for code in ("asked", "claimed", "delivered"))
    assert asked["actor"].startswith("key:")
    assert asked["facts"]["timing"]["kind"] == timing["kind"]
    assert claimed["facts"]["schedule_version"] == 1
    assert claimed["actor"] == f"worker:{claimed['facts']['owner']}"
    assert (outcome["facts"]["attempt"], outcome["facts"]["response"]) == (1, {"status_code": 204})
    assert asked["position"] < claimed["position"] < outcome["position"]
    assert plan["tzdata"] in " ".join(explained["story"])
    shown = await live.get(f"/v1/occurrences/{request.occurrence}")
    assert (shown["status"], shown["attempts"], shown["zone"]) == ("delivered", 1, plan["zone"])


async def test_releases_are_signed_with_the_tenants_secret(live: Live, hooks: Receiver) -> None:
    """The library of Standard Webhooks verifies what came, and nothing that was changed."""
    secret = (await live.get("/v1/signing-secret"))["secret"]
    await live.create(channel=hooks.channel, content={"subject": "Zahlung fällig"}, recipient=fresh())
    (request,) = await hooks.received(1)
    verifier = Webhook(secret)
    verifier.verify(request.body, request.headers)
    assert request.occurrence == request.json["occurrence_id"]
    with pytest.raises(WebhookVerificationError):
        verifier.verify(request.body.replace(b"Zahlung", b"Mahnung"), request.headers)
    with pytest.raises(WebhookVerificationError):
        verifier.verify(request.body, {**request.headers, "webhook-id": "another"})


@pytest.mark.covers("DSP-22", "DSP-23", "REL-14")
async def test_retry_then_dead_letter_then_replay(live: Live, hooks: Receiver) -> None:
    """Three attempts under one webhook-id, a dead letter, and a replay that delivers under the same id again."""
    hooks.script(500, 502, 500)
    created = await live.create(channel=hooks.channel, delivery={"retry": AT_ONCE}, recipient=fresh())
    assert (await ended(live, created["id"]))["outcome"] == "dead_lettered"
    (occurrence,) = await live.occurrences(created["id"])
    assert (occurrence["status"], occurrence["attempts"]) == ("dead_lettered", 3)
    assert occurrence["last_failure"]["status_code"] == 500
    dead = await live.get("/v1/dead-letters", schedule=created["id"])
    assert [item["id"] for item in dead["items"]] == [occurrence["id"]]
    assert (await live.get(f"/v1/schedules/{created['id']}"))["status"] == "failed"

    replayed = await live.post(f"/v1/dead-letters/{occurrence['id']}/replay", {"reason": "repaired"}, 202)
    assert replayed["status"] == "retrying"
    assert (await ended(live, created["id"], 2))["outcome"] == "delivered"
    assert {request.occurrence for request in hooks.requests} == {occurrence["id"]}
    assert [request.json["attempt"] for request in hooks.requests] == [1, 2, 3, 4]
    assert (await live.client.get(f"/v1/dead-letters/{occurrence['id']}")).status_code == 404
    assert not (await live.get("/v1/dead-letters", schedule=created["id"]))["items"]
    await live.post(f"/v1/dead-letters/{occurrence['id']}/replay", None, 409)
    explained = await live.explain(occurrence["id"])
    codes = [entry["code"] for entry in explained["decisions"]]
    assert codes[codes.index("claimed") :] == [
        "claimed",
        *("attempt_failed", "attempt_started") * 2,
        *("attempt_failed", "dead_lettered", "replayed", "attempt_started", "delivered"),
    ]
    assert "repaired" in decision(explained, "replayed")["text"]


async def test_dead_letters_are_replayed_together(live: Live, hooks: Receiver) -> None:
    """By schedule, each under its own id; an Idempotency-Key makes a repeat harmless."""
    hooks.script(410, 410)
    created = await live.create(
        channel=hooks.channel, timing={"kind": "every", "cron": "0 9 1 1 *", "zone": "UTC"}, recipient=fresh()
    )
    for _ in range(2):
        await live.post(f"/v1/schedules/{created['id']}/trigger", None, 202)
    await live.ended(created["id"], 2)
    answer = await live.post("/v1/dead-letters/replay", {"schedule": created["id"]}, 202)
    assert (answer["replayed"], answer["refused"], answer["more"]) == (2, 0, False)
    await live.ended(created["id"], 4)
    statuses = [item["status"] for item in await live.occurrences(created["id"])]
    assert statuses == ["delivered", "delivered"]
    assert len(hooks.requests) == 4


@pytest.mark.covers("DSP-32")
@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_honoured(live: Live, hooks: Receiver, status: int) -> None:
    """The next attempt waits as long as the receiver asks, although the schedule would retry at once."""
    hooks.script(Answer(status, {"Retry-After": "1"}))
    created = await live.create(channel=hooks.channel, delivery={"retry": AT_ONCE}, recipient=fresh())
    assert (await ended(live, created["id"]))["outcome"] == "delivered"
    (failed,) = await live.events(of(created["id"], "occurrence.attempt_failed.v1"))
    (started,) = await live.events(of(created["id"], "occurrence.attempt_started.v1"))
    assert failed["data"]["failure"]["retry_after_s"] == 1.0
    retry_at = datetime.fromisoformat(failed["data"]["retry_at"])
    assert retry_at - datetime.fromisoformat(failed["at"]) >= timedelta(seconds=0.9)
    assert datetime.fromisoformat(started["at"]) >= retry_at
    explained = await live.explain(hooks.requests[0].occurrence)
    assert "the receiver asked for that" in decision(explained, "attempt_failed")["text"]


@pytest.mark.parametrize("status", [410, 404, 302])
async def test_what_no_retry_can_heal_is_given_up_at_once(live: Live, hooks: Receiver, status: int) -> None:
    """Gone, not found, or a redirect, which is not followed: one attempt, then the dead letter."""
    hooks.script(Answer(status, {"Location": f"http://127.0.0.1:{hooks.port}/elsewhere"}))
    created = await live.create(channel=hooks.channel, delivery={"retry": AT_ONCE}, recipient=fresh())
    assert (await ended(live, created["id"]))["outcome"] == "dead_lettered"
    (occurrence,) = await live.occurrences(created["id"])
    assert (occurrence["attempts"], occurrence["last_failure"]["status_code"]) == (1, status)
    assert [request.path for request in hooks.requests] == ["/hook"]


@pytest.mark.covers("DSP-39")
async def test_at_most_once_never_repeats_what_may_have_arrived(live: Live, hooks: Receiver) -> None:
    """The receiver reads and breaks the connection: `unknown`, one request, no attempt is left; a replay is a wish."""
    hooks.script(Answer(drop=True))
    created = await live.create(channel=hooks.channel, delivery=ONCE, recipient=fresh())
    assert (await ended(live, created["id"]))["outcome"] == "unknown"
    (occurrence,) = await live.occurrences(created["id"])
    assert (occurrence["status"], occurrence["attempts"], occurrence["next_attempt_at"]) == ("unknown", 1, None)
    assert len(hooks.requests) == 1
    dead = await live.get("/v1/dead-letters", schedule=created["id"], status="unknown")
    assert [item["id"] for item in dead["items"]] == [occurrence["id"]]
    explained = await live.explain(occurrence["id"])
    assert "nobody can tell" in decision(explained, "unknown")["text"]
    await live.post(f"/v1/dead-letters/{occurrence['id']}/replay", None, 202)
    assert (await ended(live, created["id"], 2))["outcome"] == "delivered"
    assert [request.occurrence for request in hooks.requests] == [occurrence["id"]] * 2


async def test_at_most_once_repeats_what_cannot_have_arrived(live: Live, hooks: Receiver) -> None:
    """A 503 says that it was not taken; a 500 does not."""
    hooks.script(503)
    created = await live.create(channel=hooks.channel, delivery=ONCE, recipient=fresh())
    assert (await ended(live, created["id"]))["outcome"] == "delivered"
    assert len(hooks.requests) == 2
    hooks.script(500)
    created = await live.create(channel=hooks.channel, delivery=ONCE, recipient=fresh())
    assert (await ended(live, created["id"]))["outcome"] == "unknown"
    assert len(hooks.requests) == 3


async def test_at_least_once_repeats_a_broken_exchange_under_the_same_id(live: Live, hooks: Receiver) -> None:
    """The receiver sees it twice, and can tell by the webhook-id."""
    hooks.script(Answer(drop=True))
    created = await live.create(channel=hooks.channel, delivery={"retry": AT_ONCE}, recipient=fresh())
    assert (await ended(live, created["id"]))["outcome"] == "delivered"
    first, second = hooks.requests
    assert first.occurrence == second.occurrence
    assert first.headers["webhook-signature"]


@pytest.mark.covers("DSP-27")
async def test_silence_is_cut_off(live: Live, hooks: Receiver) -> None:
    """An answer that does not come in time is a timeout, and tried again."""
    held = asyncio.Event()
    hooks.script(Answer(hold=held))
    delivery = {"timeout": "PT0.3S", "retry": AT_ONCE}
    created = await live.create(channel=hooks.channel, delivery=delivery, recipient=fresh())
    assert (await ended(live, created["id"]))["outcome"] == "delivered"
    held.set()
    (failed,) = await live.events(of(created["id"], "occurrence.attempt_failed.v1"))
    assert failed["data"]["failure"]["kind"] == "timeout"


@pytest.mark.covers("DSP-09", "DSP-16")
async def test_a_providers_report_is_kept(live: Live, hooks: Receiver) -> None:
    """A callback on a release stands on record and in the story; before any release it is a conflict."""
    created = await live.create(channel=hooks.channel, recipient=fresh())
    await live.ended(created["id"])
    path = f"/v1/occurrences/{hooks.requests[0].occurrence}"
    key = {"Idempotency-Key": fresh("key")}
    first = await live.post(f"{path}/callbacks", {"status": "bounced", "detail": {"code": 550}}, 202, headers=key)
    again = await live.post(f"{path}/callbacks", {"status": "bounced", "detail": {"code": 550}}, 202, headers=key)
    assert (again["version"], again["replayed"]) == (first["version"], True)
    shown = await live.get(path, min_position=first["position"])
    assert (shown["status"], shown["reported"]["status"]) == ("delivered", "bounced")
    assert decision(await live.explain(hooks.requests[0].occurrence), "reported")["facts"]["detail"] == {"code": 550}
