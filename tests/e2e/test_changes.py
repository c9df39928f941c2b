"""Changing what was asked for: pause, resume, trigger, skip, reschedule, cancel, clone, and why something was not sent.

On virtual time, one after the other on one clock: every count is exact. Everything goes to a real receiver.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.live import Live, decision, fresh, running
from tests.e2e.profiles import Profile
from tests.e2e.receiver import Answer, Receiver
from tests.e2e.talking import KEY
from tests.e2e.test_zone_data import horae

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e-changes"), pytest.mark.asyncio(loop_scope="module")]

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
DAILY = {"kind": "every", "cron": "0 9 * * *", "zone": "UTC"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(profile: Profile) -> AsyncIterator[Live]:
    """The service, on virtual time."""
    async with running(profile, clock="virtual=2027-01-04T06:00:00Z") as live:
        yield live


@pytest_asyncio.fixture(loop_scope="module")
async def live(shared: Live) -> AsyncIterator[Live]:
    """The service at 06:00 UTC of a day on which nothing of earlier tests is left."""
    yield shared
    page = await shared.get("/v1/schedules", limit=500, min_position=await head(shared))
    for item in page["items"]:
        (await shared.client.delete(f"/v1/schedules/{item['id']}")).raise_for_status()
    now = await shared.now()
    await shared.advance(now.replace(hour=6, minute=0, second=0, microsecond=0) + DAY)


async def head(live: Live) -> int:
    """The position of a write that comes after all others."""
    answer = await live.client.put(f"/v1/recipients/{fresh()}", json={})
    position: int = answer.json()["position"]
    return position


async def daily(live: Live, receiver: Receiver, **fields: Any) -> str:
    """A new daily schedule at 09:00 UTC to the receiver."""
    created = await live.create(**({"channel": receiver.channel, "timing": DAILY, "recipient": fresh()} | fields))
    identity: str = created["id"]
    return identity


def slots(receiver: Receiver) -> list[str]:
    """What arrived, by slot."""
    return [request.json["slot"] for request in receiver.requests]


def at(moment: datetime, **change: int) -> str:
    """A moment as slots and instants without their zone are written."""
    return moment.replace(**change).strftime("%Y-%m-%dT%H:%M:%S")  # type: ignore[arg-type]


@pytest.mark.covers("REC-07", "REC-14", "REC-15")
async def test_a_paused_series_is_silent_and_goes_on_with_its_next_slot(live: Live, hooks: Receiver) -> None:
    """Two days, three days of pause, two days: four releases, none of them made up; explain names the pause."""
    begin = await live.now()
    schedule = await daily(live, hooks)
    await live.advance(2 * DAY)
    paused = await live.post(f"/v1/schedules/{schedule}/pause", {"reason": "holiday"})
    assert (paused["status"], paused["already_claimed"]) == ("paused", [])
    await live.advance(3 * DAY)
    assert len(hooks.requests) == 2
    shown = await live.get(f"/v1/schedules/{schedule}", min_position=paused["position"])
    assert (shown["status"], shown["next_due_at"]) == ("paused", None)
    resumed = await live.post(f"/v1/schedules/{schedule}/resume")
    assert resumed["next_due_at"] == f"{at(begin + 5 * DAY, hour=9)}Z"
    await live.advance(2 * DAY)
    assert slots(hooks) == [at(begin + n * DAY, hour=9) for n in (0, 1, 5, 6)]
    explained = await live.get(f"/v1/schedules/{schedule}/explain", slot=at(begin + 3 * DAY, hour=9))
    assert (explained["verdict"], explained["released"]) == ("paused", False)
    assert decision(explained, "resumed")["facts"] is not None
    assert any("holiday" in sentence for sentence in explained["story"])


async def test_a_one_off_that_was_paused_over_its_instant_goes_out_at_resume(live: Live, hooks: Receiver) -> None:
    """Late, once, and it says how late."""
    begin = await live.now()
    schedule = await daily(live, hooks, timing={"kind": "in", "delay": "PT1H"})
    await live.post(f"/v1/schedules/{schedule}/pause")
    await live.advance(DAY)
    assert not hooks.requests
    await live.post(f"/v1/schedules/{schedule}/resume")
    await live.advance(HOUR)
    (request,) = hooks.requests
    assert request.json["due_at"] == f"{at(begin + HOUR)}Z"
    assert decision(await live.explain(request.occurrence), "late")


@pytest.mark.covers("DSP-01")
async def test_a_trigger_leaves_the_cadence_alone(live: Live, hooks: Receiver) -> None:
    """Triggered twice at one moment it fires twice, beside the slots, which come as they would have."""
    begin = await live.now()
    schedule = await daily(live, hooks)
    await live.advance(DAY)
    before = await live.get(f"/v1/schedules/{schedule}")
    one = await live.post(f"/v1/schedules/{schedule}/trigger", {"reason": "asked by phone"}, 202)
    two = await live.post(f"/v1/schedules/{schedule}/trigger", None, 202)
    assert one["occurrence"] != two["occurrence"]
    assert one["due_at"] == two["due_at"]
    after = await live.get(f"/v1/schedules/{schedule}", min_position=two["position"])
    assert after["next_due_at"] == before["next_due_at"]
    await live.advance(2 * DAY)
    by_hand = {request.occurrence for request in hooks.requests[1:3]}
    assert by_hand == {one["occurrence"], two["occurrence"]}
    regular = [request.json["slot"] for request in hooks.requests if request.occurrence not in by_hand]
    assert regular == [at(begin + n * DAY, hour=9) for n in range(3)]
    explained = await live.explain(one["occurrence"])
    assert explained["verdict"] == "delivered"
    assert "asked by phone" in decision(explained, "triggered")["text"]
    assert [item["origin"] for item in await live.occurrences(schedule)].count("trigger") == 2


@pytest.mark.covers("LIF-22", "ACC-05")
async def test_skipped_slots_stay_away_and_unskipped_ones_come_back(live: Live, hooks: Receiver) -> None:
    """Of five days the second is skipped, the third skipped and put back, the fifth skipped while it is next."""
    begin = await live.now()
    schedule = await daily(live, hooks)
    day = [at(begin + n * DAY, hour=9) for n in range(6)]
    path = f"/v1/schedules/{schedule}"
    for slot in (day[1], day[2]):
        await live.post(f"{path}/skip", {"slot": slot})
    await live.post(f"{path}/unskip", {"slot": day[2]})
    promised = await live.get(f"{path}/preview", count=3)
    assert [slot["slot"] for slot in promised["slots"]] == [day[0], day[2], day[3]]
    assert [slot["slot"] for slot in promised["skipped"]] == [day[1]]
    await live.advance(4 * DAY)
    assert (await live.post(f"{path}/skip", {"slot": day[4]}))["next_due_at"] == f"{day[5]}Z"
    await live.advance(2 * DAY)
    assert slots(hooks) == [day[0], day[2], day[3], day[5]]
    explained = await live.get(f"{path}/explain", slot=day[1])
    assert (explained["verdict"], explained["released"]) == ("skipped", False)
    refused = await live.post(f"{path}/skip", {"slot": day[3]}, 409)
    assert refused["code"] == "already_claimed"
    assert (await live.post(f"{path}/skip", {"slot": at(begin, hour=10)}, 422))["field"] == "slot"


@pytest.mark.covers("LIF-15", "LIF-18", "LIF-20")
async def test_a_rescheduled_one_off_fires_at_its_new_instant_only(live: Live, hooks: Receiver) -> None:
    """A moment before it was due; afterwards it is too late, and the answer names what went out."""
    begin = await live.now()
    schedule = await daily(live, hooks, timing={"kind": "in", "delay": "PT1H", "zone": "UTC"})
    await live.advance(begin + HOUR - timedelta(milliseconds=1))
    later = {"kind": "at", "at": f"{at(begin + 3 * HOUR)}Z"}
    changed = await live.patch(f"/v1/schedules/{schedule}", {"timing": later, "content": {"n": 2}})
    assert changed["next_due_at"] == later["at"]
    await live.advance(begin + 2 * HOUR)
    assert not hooks.requests
    await live.advance(begin + DAY)
    (request,) = hooks.requests
    assert (request.json["due_at"], request.json["content"]) == (later["at"], {"n": 2})
    too_late = await live.patch(
        f"/v1/schedules/{schedule}", {"timing": {"kind": "at", "at": f"{at(begin + 2 * DAY)}Z"}}, 409
    )
    assert too_late["code"] == "already_claimed"
    assert too_late["already_claimed"] == [request.occurrence]
    explained = await live.get(f"/v1/schedules/{schedule}/explain", slot=at(begin + HOUR))
    assert (explained["verdict"], explained["released"]) == ("replaced", False)


@pytest.mark.covers("REC-06", "REC-17")
async def test_a_series_follows_its_new_rule(live: Live, hooks: Receiver) -> None:
    """From the change on only the new rule's slots fire; content alone leaves the slots as they are."""
    begin = await live.now()
    schedule = await daily(live, hooks)
    await live.advance(DAY)
    later = {**DAILY, "cron": "30 17 * * *"}
    await live.patch(f"/v1/schedules/{schedule}", {"timing": later})
    await live.advance(DAY)
    kept = await live.patch(f"/v1/schedules/{schedule}", {"content": {"n": 3}})
    assert kept["next_due_at"] == f"{at(begin + 2 * DAY, hour=17, minute=30)}Z"
    await live.advance(DAY)
    evening = [at(begin + n * DAY, hour=17, minute=30) for n in (1, 2)]
    assert slots(hooks) == [at(begin, hour=9), *evening]
    assert [request.json["content"] for request in hooks.requests] == [{"n": 1}, {"n": 1}, {"n": 3}]


@pytest.mark.covers("LIF-16", "LIF-19")
async def test_a_cancelled_schedule_is_silent_for_good(live: Live, hooks: Receiver) -> None:
    """A moment before its slot; again is no error, anything else is a conflict; explain names the cancelling."""
    begin = await live.now()
    schedule = await daily(live, hooks)
    await live.advance(begin.replace(hour=9) - timedelta(milliseconds=1))
    path = f"/v1/schedules/{schedule}"
    cancelled = await live.post(f"{path}/cancel", {"reason": "moved away"})
    assert (cancelled["status"], cancelled["already_claimed"]) == ("cancelled", [])
    assert (await live.post(f"{path}/cancel"))["version"] == cancelled["version"]
    await live.advance(2 * DAY)
    assert not hooks.requests
    for verb, status in (("pause", 409), ("resume", 409), ("trigger", 409)):
        assert (await live.post(f"{path}/{verb}", None, status))["field"] == "status"
    await live.patch(path, {"content": {}}, 409)
    explained = await live.get(f"{path}/explain", slot=at(begin, hour=9))
    assert (explained["verdict"], explained["released"]) == ("cancelled", False)
    assert any("moved away" in sentence for sentence in explained["story"])
    assert (await live.get(f"{path}/preview"))["slots"] == []


@pytest.mark.covers("DSP-11")
async def test_no_further_attempt_starts_after_a_cancel(live: Live, hooks: Receiver) -> None:
    """One that waits for its retry ends cancelled; the receiver hears nothing more."""
    hooks.default = Answer(500)
    retry = {"strategy": "fixed", "retries": 5, "delay": "PT1H", "max_delay": "PT1H"}
    schedule = await daily(live, hooks, timing={"kind": "now"}, delivery={"retry": retry})
    await live.advance(timedelta(minutes=90))
    assert len(hooks.requests) == 2
    await live.post(f"/v1/schedules/{schedule}/cancel")
    await live.advance(DAY)
    assert len(hooks.requests) == 2
    (occurrence,) = await live.occurrences(schedule)
    assert (occurrence["status"], occurrence["attempts"]) == ("cancelled", 2)


@pytest.mark.covers("DSP-28", "DSP-29")
async def test_retries_keep_to_their_strategy(live: Live, hooks: Receiver) -> None:
    """Exponential: 5, 10 and 20 seconds by default, to the second of virtual time; then the dead letter."""
    hooks.default = Answer(500)
    schedule = await daily(live, hooks, timing={"kind": "now"})
    await live.advance(HOUR)
    (occurrence,) = await live.occurrences(schedule)
    assert (occurrence["status"], occurrence["attempts"]) == ("dead_lettered", 4)
    moments = [datetime.fromisoformat(request.json["released_at"]) for request in hooks.requests]
    waits = [(later - earlier).total_seconds() for earlier, later in pairwise(moments)]
    assert waits == [5.0, 10.0, 20.0]
    assert {request.occurrence for request in hooks.requests} == {occurrence["id"]}


async def test_what_was_never_a_slot_says_so(live: Live, hooks: Receiver) -> None:
    """Not a slot, before the beginning, after the end, not yet due: each has its own verdict."""
    begin = await live.now()
    bounds = {"starts_at": at(begin + DAY)[:10], "ends_at": at(begin + 3 * DAY)[:10]}
    schedule = await daily(live, hooks, timing={**DAILY, **bounds})
    verdicts = {
        at(begin + DAY, hour=10): "not_a_slot",
        at(begin, hour=9): "before_start",
        at(begin + 4 * DAY, hour=9): "after_end",
        at(begin + 2 * DAY, hour=9): "not_yet_due",
    }
    for slot, verdict in verdicts.items():
        explained = await live.get(f"/v1/schedules/{schedule}/explain", slot=slot)
        assert (explained["verdict"], explained["released"]) == (verdict, False), explained["story"]
        assert explained["story"]
    assert not hooks.requests


@pytest.mark.covers("LIF-03")
async def test_a_clone_lives_its_own_life(live: Live, hooks: Receiver) -> None:
    """A clone of a cancelled schedule fires for its own recipient, and names its original."""
    schedule = await daily(live, hooks)
    await live.post(f"/v1/schedules/{schedule}/cancel")
    other = fresh()
    clone = await live.post(f"/v1/schedules/{schedule}/clone", {"recipient": other}, 201)
    assert clone["cloned_from"] == schedule
    await live.advance(DAY)
    (request,) = hooks.requests
    assert (request.json["recipient"], request.json["schedule_id"]) == (other, clone["id"])


@pytest.mark.covers("LIF-02", "LIF-23", "LIF-24")
async def test_every_change_is_on_record_and_the_past_can_be_read(live: Live, hooks: Receiver) -> None:
    """History, diff and as_of, by instant and by position, agree on what was asked when."""
    begin = await live.now()
    schedule = await daily(live, hooks)
    path = f"/v1/schedules/{schedule}"
    first = await live.get(path)
    await live.advance(HOUR)
    second = await live.patch(path, {"content": {"n": 2}, "priority": 4})
    await live.advance(HOUR)
    third = await live.post(f"{path}/pause", {"reason": "checking"})
    history = (await live.get(f"{path}/history"))["items"]
    assert [entry["event"] for entry in history] == [
        "schedule.created.v1",
        "schedule.changed.v1",
        "schedule.paused.v1",
    ]
    assert [entry["version"] for entry in history] == [1, 2, 3]
    assert history[2]["reason"] == "checking"
    assert {change["field"] for change in history[1]["changes"]} == {"content.n", "priority"}
    diff = await live.get(f"{path}/diff", from_version=1, to_version=2)
    assert {change["field"]: change["after"] for change in diff["changes"]} == {"content.n": 2, "priority": 4}
    for as_of, version, content in (
        (f"{at(begin + timedelta(minutes=30))}Z", 1, {"n": 1}),
        (f"{at(begin + timedelta(minutes=90))}Z", 2, {"n": 2}),
        (str(first["position"]), 1, {"n": 1}),
        (str(second["position"]), 2, {"n": 2}),
        (str(third["position"]), 3, {"n": 2}),
    ):
        then = await live.get(path, as_of=as_of)
        assert (then["version"], then["content"]) == (version, content), as_of
    before = await live.client.get(path, params={"as_of": f"{at(begin - DAY)}Z"})
    assert before.status_code == 404


@pytest.mark.covers("LIF-22", "REC-06", "LIF-18")
async def test_one_slot_or_all_from_one_on_are_changed_and_the_rest_goes_out_as_before(
    live: Live, hooks: Receiver
) -> None:
    """Of a week at 09:00 the second day is moved, the third has its own words, and from the fifth on it is 10:00."""
    begin = await live.now()
    asked = await live.create(channel=hooks.channel, timing=DAILY, recipient=fresh(), content={"n": 0})
    day = [at(begin + n * DAY, hour=9) for n in range(8)]
    path = f"/v1/schedules/{asked['id']}"

    def reach(scope: str, slot: str, **more: str) -> str:
        return path + "?" + "&".join(f"{k}={v}" for k, v in {"scope": scope, "slot": slot, **more}.items())

    moved = {"timing": {"kind": "at", "local": at(begin + DAY, hour=15)}}
    await live.patch(reach("this", day[1]), moved)
    await live.patch(reach("this", day[2]), {"content": {"n": 1}})
    at_ten = {"timing": {"kind": "every", "cron": "0 10 * * *", "zone": "UTC"}, "content": {"n": 2}}
    told = await live.patch(reach("following", day[4], dry_run="true", slots="7"), at_ten)
    assert [slot["slot"] for slot in told["difference"]["dropped"]] == day[4:8]
    assert [slot["slot"] for slot in told["difference"]["added"]] == [at(begin + n * DAY, hour=10) for n in (4, 5, 6)]
    assert told["difference"]["counts"] == {"moved": 0, "dropped": 4, "added": 3, "changed": 0, "kept": 4}
    named = ("--url", live.service.url, "--api-key", KEY, "--scope", "following", "--slot", day[4])
    rule = ("--cron", "0 10 * * *", "--zone", "UTC", "--dry-run", "--slots", "7")
    code, said = await horae(live.service, "change", asked["id"], *rule, *named)
    assert (code, "0 moved, 4 dropped, 3 added, 0 changed, 4 kept" in said) == (0, True), said
    changed = await live.patch(reach("following", day[4]), at_ten)
    assert [entry["due_at"] for entry in changed["changes"]] == [f"{at(begin + DAY, hour=15)}Z", None]
    promised = await live.get(f"{path}/preview", count=7)
    due = [slot["due_at"] for slot in promised["slots"]]

    await live.advance(7 * DAY)
    assert [request.json["due_at"] for request in hooks.requests] == due
    assert [request.json["slot"] for request in hooks.requests[:4]] == day[:4]
    assert [request.json["content"]["n"] for request in hooks.requests] == [0, 0, 1, 0, 2, 2, 2]
    assert due[1] == f"{at(begin + DAY, hour=15)}Z"
    shown = await live.get(path, min_position=await head(live))
    assert (shown["content"], shown["later"]) == ({"n": 2}, [{"slot": day[4], "fold": 0}])
    then = await live.get(path, as_of=asked["position"])
    assert (then["content"], then["later"], then["changes"]) == ({"n": 0}, [], [])
    refused = await live.patch(reach("this", day[1]), moved, 409)
    assert refused["code"] == "already_claimed"


@pytest.mark.covers("LIF-22")
async def test_a_change_of_all_keeps_or_drops_exceptions_as_asked(live: Live, hooks: Receiver) -> None:
    """A skipped day stays skipped at another hour; what was moved and is let fall goes out where the series has it."""
    begin = await live.now()
    schedule = await daily(live, hooks)
    day = [at(begin + n * DAY, hour=9) for n in range(5)]
    path = f"/v1/schedules/{schedule}"
    await live.post(f"{path}/skip", {"slot": day[1]})
    await live.patch(
        f"{path}?scope=this&slot={day[3]}", {"timing": {"kind": "at", "local": at(begin + 2 * DAY, hour=12)}}
    )
    noon = {"timing": {"kind": "every", "cron": "0 10 * * *", "zone": "UTC"}}
    told = await live.patch(f"{path}?exceptions=keep&dry_run=true", noon)
    assert [slot["slot"] for slot in told["exceptions_kept"]] == [day[3]]
    await live.patch(f"{path}?exceptions=keep", noon)
    await live.advance(3 * DAY)
    hours = [request.json["due_at"] for request in hooks.requests]
    assert hours == [f"{at(begin + n * DAY, hour=hour)}Z" for n, hour in ((0, 10), (2, 10), (2, 12))]
    back = {"timing": {"kind": "every", "cron": "0 11 * * *", "zone": "UTC"}}
    await live.patch(f"{path}?exceptions=drop", back)
    await live.advance(2 * DAY)
    assert [request.json["due_at"] for request in hooks.requests[3:]] == [
        f"{at(begin + n * DAY, hour=11)}Z" for n in (3, 4)
    ]


@pytest.mark.covers("REC-06")
async def test_a_series_is_not_made_a_one_off_that_it_has_sent(live: Live, hooks: Receiver) -> None:
    """The occurrence would be the same, and never be sent: 409, and it is named."""
    begin = await live.now()
    schedule = await daily(live, hooks, timing={"kind": "every", "cron": "0 9 * * *", "zone": "Asia/Tokyo"})
    await live.advance(begin + timedelta(hours=20))
    (sent,) = hooks.requests
    once = {"timing": {"kind": "at", "local": sent.json["slot"], "zone": "America/New_York"}}
    refused = await live.patch(f"/v1/schedules/{schedule}", once, 409)
    assert (refused["code"], refused["already_claimed"]) == ("already_claimed", [sent.occurrence])
