"""Changing one's mind at the last moment, on real time: a 2xx is a promise, whatever was due just then."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.e2e.live import Live, decision, fresh, of
from tests.e2e.receiver import Received, Receiver

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e-races"), pytest.mark.asyncio(loop_scope="module")]

EACH = 70


class Timed(Receiver):
    """Also notes by the loop's clock when each schedule's release arrived."""

    def __init__(self) -> None:
        super().__init__()
        self.arrivals: dict[str, list[float]] = {}

    def note(self, received: Received) -> None:
        super().note(received)
        self.arrivals.setdefault(received.json["schedule_id"], []).append(asyncio.get_running_loop().time())


@dataclass
class Change:
    """A change of one schedule: its answer, and when that was here."""

    schedule: str
    answer: httpx.Response
    at: float
    named: list[str] = field(default_factory=list)

    @property
    def accepted(self) -> bool:
        return self.answer.is_success


def instant(moment: datetime) -> str:
    """To the millisecond, as slots are."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def bulk(live: Live, channel: str, due: list[datetime]) -> list[str]:
    """Schedules, one per instant."""
    lines = [
        {"recipient": fresh(), "channel": channel, "timing": {"kind": "at", "at": instant(moment)}} for moment in due
    ]
    body = "\n".join(map(json.dumps, lines))
    headers = {"Content-Type": "application/x-ndjson"}
    shown = (await live.client.post("/v1/schedules/bulk", content=body, headers=headers)).json()
    assert shown["created"] == len(due), shown
    return [item["id"] for item in shown["items"]]


async def changed(live: Live, method: str, path: str, schedules: list[str], body: Any = None) -> list[Change]:
    """The same change to many, a few at a time."""
    free = asyncio.Semaphore(8)

    async def one(schedule: str) -> Change:
        async with free:
            answer = await live.client.request(method, path.format(schedule), json=body)
        at = asyncio.get_running_loop().time()
        named = answer.json().get("already_claimed") or []
        return Change(schedule, answer, at, named)

    return list(await asyncio.gather(*map(one, schedules)))


def check_kept(changes: list[Change], receiver: Timed) -> None:
    """What was answered 2xx and names nothing as under way had fired before, or never does: not once afterwards."""
    for change in changes:
        arrived = receiver.arrivals.get(change.schedule, [])
        assert len(arrived) <= 1, change.schedule
        if change.accepted and not change.named:
            late = [moment for moment in arrived if moment > change.at]
            assert not late, f"{change.answer.request.url} was answered {late[0] - change.at:.3f} s before it fired"


@pytest.mark.covers("SCH-15", "LIF-19", "ACC-10")
async def test_cancel_pause_and_reschedule_race_with_the_due_instant(live: Live) -> None:
    """210 due within a second and a half; from the first release on each is cancelled, paused or rescheduled.

    No accepted change is broken: counted at the receiver until something due later than all of them has arrived.
    """
    async with Timed() as receiver:
        begin = datetime.now(UTC) + timedelta(seconds=2)
        due = [begin + timedelta(milliseconds=1500 * n // (3 * EACH)) for n in range(3 * EACH)]
        schedules = await bulk(live, receiver.channel, due)
        later = {"timing": {"kind": "at", "at": instant(begin + timedelta(hours=1))}}
        await receiver.received(1)
        # Neighbours in time go three ways, the last ones first, so that the changes meet the due instants half-way.
        backwards = schedules[::-1]
        cancelled, paused, moved = await asyncio.gather(
            changed(live, "POST", "/v1/schedules/{}/cancel", backwards[0::3], {}),
            changed(live, "POST", "/v1/schedules/{}/pause", backwards[1::3], {}),
            changed(live, "PATCH", "/v1/schedules/{}", backwards[2::3], later),
        )
        assert all(change.accepted for change in (*cancelled, *paused))
        assert {change.answer.status_code for change in moved} <= {200, 409}
        await clock_reads(due[-1])
        sentinel = await live.create(channel=receiver.at("sentinel"), priority=1)
        await live.ended(sentinel["id"])
        await asyncio.gather(*(live.ended(change.schedule) for change in moved if not change.accepted))
        check_kept([*cancelled, *paused, *moved], receiver)
        # Both happened, else nothing was raced.
        fired = [change for change in (*cancelled, *paused, *moved) if change.schedule in receiver.arrivals]
        assert 0 < len(fired) < 3 * EACH
        for change in moved:
            assert (change.schedule in receiver.arrivals) is not change.accepted
            if not change.accepted:
                assert change.answer.json()["code"] == "already_claimed"

        # What was paused before it could fire goes out at resume, once; what had fired does not again.
        silent = [change.schedule for change in paused if change.schedule not in receiver.arrivals]
        # A second is the least that counts as late.
        await clock_reads(due[-1] + timedelta(seconds=1.1))
        await changed(live, "POST", "/v1/schedules/{}/resume", [change.schedule for change in paused], {})
        await asyncio.gather(*(live.ended(change.schedule) for change in paused))
        assert all(len(receiver.arrivals[change.schedule]) == 1 for change in paused)
        for schedule in silent:
            (request,) = [r for r in receiver.requests if r.json["schedule_id"] == schedule]
            assert decision(await live.explain(request.occurrence), "late")
        for change in cancelled:
            shown = await live.get(f"/v1/schedules/{change.schedule}")
            fired_before = len(receiver.arrivals.get(change.schedule, []))
            assert (shown["fired"], shown["status"]) == (fired_before, "completed" if fired_before else "cancelled")


@pytest.mark.covers("SCH-01")
async def test_twice_triggered_in_one_second_is_twice(live: Live, hooks: Receiver) -> None:
    """Ten at the same time are ten; the same request again is none more; the series' next slot stays."""
    timing = {"kind": "every", "cron": "0 9 1 1 *", "zone": "UTC"}
    created = await live.create(channel=hooks.channel, timing=timing, recipient=fresh())
    path = f"/v1/schedules/{created['id']}/trigger"
    answers = await asyncio.gather(*(live.post(path, None, 202) for _ in range(10)))
    key = {"Idempotency-Key": fresh("key")}
    first = await live.post(path, {"reason": "once"}, 202, headers=key)
    again = await live.post(path, {"reason": "once"}, 202, headers=key)
    assert (again["occurrence"], again["replayed"]) == (first["occurrence"], True)
    await live.post(path, {"reason": "otherwise"}, 422, headers=key)
    requests = await hooks.received(11)
    await live.ended(created["id"], 11)
    wanted = {answer["occurrence"] for answer in answers} | {first["occurrence"]}
    assert sorted(request.occurrence for request in requests) == sorted(wanted)
    shown = await live.get(f"/v1/schedules/{created['id']}")
    assert (shown["next_due_at"], len(hooks.requests)) == (created["next_due_at"], 11)


@pytest.mark.covers("REC-07")
async def test_missed_slots_follow_their_policy(live: Live, hooks: Receiver) -> None:
    """The workers are frozen over three slots of three series: `skip` sends none, `once` the newest, `all` each one."""
    workers = live.service.workers_alive()
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    try:
        # Nobody can fire now; the API takes schedules all the same.
        rule = {"kind": "every", "rrule": "FREQ=SECONDLY", "zone": "UTC", "count": 3}
        created, newest = {}, {}
        for policy in ("skip", "once", "all"):
            timing = {**rule, "missed": {"policy": policy, "within": "PT0.5S"}}
            answer = await live.create(channel=hooks.at(policy), timing=timing, recipient=fresh())
            created[policy] = answer["id"]
            newest[policy] = datetime.fromisoformat(answer["next_due_at"]) + timedelta(seconds=2)
        await clock_reads(newest["all"] + timedelta(seconds=0.6))
    finally:
        for worker in workers:
            os.kill(worker, signal.SIGCONT)
    missed = {policy: await live.events(of(created[policy], "occurrence.missed.v1")) for policy in ("skip", "once")}
    await asyncio.gather(live.ended(created["once"], 1), live.ended(created["all"], 3))
    arrived = {policy: [r for r in hooks.requests if r.path == f"/{policy}"] for policy in created}
    assert [len(arrived[policy]) for policy in ("skip", "once", "all")] == [0, 1, 3]
    assert [missed[policy][0]["data"]["count"] for policy in ("skip", "once")] == [3, 2]
    for policy in ("once", "all"):
        # Releases run side by side, so the newest need not arrive last.
        assert max(datetime.fromisoformat(r.json["due_at"]) for r in arrived[policy]) == newest[policy]
    assert decision(await live.explain(arrived["once"][0].occurrence), "catch_up")
    for policy, schedule in created.items():
        shown = await live.get(f"/v1/schedules/{schedule}", min_position=live.told[-1]["position"])
        assert (shown["fired"], shown["missed"]) == {"skip": (0, 3), "once": (1, 2), "all": (3, 0)}[policy]
    slot = missed["skip"][0]["data"]["to"]["local"]
    explained = await live.get(f"/v1/schedules/{created['skip']}/explain", slot=slot)
    assert (explained["verdict"], explained["released"]) == ("missed", False)


async def clock_reads(moment: datetime) -> None:
    """Return when the machine's clock has come to `moment`: here passing time itself is what is awaited."""
    reached = asyncio.Event()
    while (left := (moment - datetime.now(UTC)).total_seconds()) > 0:
        asyncio.get_running_loop().call_later(left, reached.set)
        await reached.wait()
        reached.clear()
