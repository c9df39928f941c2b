"""Learning when, through the real processes on virtual time: engagement comes in, and what is sent moves to it."""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from statistics import mean
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.live import Live, answered, running
from tests.e2e.profiles import EMBEDDED, Profile
from tests.e2e.stack.truth import horae

pytestmark = [pytest.mark.longer, pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]

PEOPLE = int(os.environ.get("LEARN_PEOPLE", "1000"))
MONDAY = datetime(2027, 1, 4, tzinfo=UTC)
HISTORY_DAYS = 4
#: Two kinds of people, whom the service is told apart by their segment, and what hour each kind answers around.
HABITS = {"larks": 8.0, "owls": 20.0}
NAMES = [f"person-{number:04}" for number in range(PEOPLE)]


def segment(name: str) -> str:
    """The kind of person."""
    return "larks" if int(name[-4:]) % 2 else "owls"


def dice(*parts: object) -> float:
    """A number in [0, 1) that is the same in every run."""
    return int.from_bytes(blake2b(repr(parts).encode(), digest_size=8).digest(), "big") / 2**64


def answers(name: str, sent_at: datetime) -> bool:
    """Does this person answer what was sent then? Likely near their hour, and hardly ever elsewhere."""
    away = abs((sent_at.hour + sent_at.minute / 60 - HABITS[segment(name)] + 12) % 24 - 12)
    return dice(name, sent_at.date()) < (0.7 if away < 2.5 else 0.04)


class Town:
    """The people, as they use the service."""

    def __init__(self, live: Live) -> None:
        self.live = live
        self.sent: dict[str, tuple[str, datetime]] = {}

    async def settle_in(self) -> None:
        """Everybody gets a profile, and is seen once."""
        limit = asyncio.Semaphore(20)

        async def put(name: str) -> None:
            async with limit:
                body = {"zone": "UTC", "segment": segment(name)}
                answered(await self.live.client.put(f"/v1/recipients/{name}", json=body), 200)

        await asyncio.gather(*(put(name) for name in NAMES))
        at = MONDAY - timedelta(hours=1)
        seen = [{"id": f"seen-{n}", "kind": "active", "at": at.isoformat(), "recipient": n} for n in NAMES]
        await self.report(seen)

    async def ask(self, day: datetime, timing: Any, label: str) -> dict[str, dict[str, Any]]:
        """One schedule each; `timing` makes each person's. Gives the schedules by person."""
        items = [
            {"recipient": name, "channel": "log:", "timing": timing(name, day), "metadata": {"type": label}}
            for name in NAMES
        ]
        shown = await self.live.post("/v1/schedules/bulk", items)
        assert shown["rejected"] == 0, shown["items"][:3]
        return dict(zip(NAMES, shown["items"], strict=True))

    async def pass_a_day(self, day: datetime) -> dict[str, datetime]:
        """The day's messages go out and are answered; when each person's went out."""
        before = len(self.live.service.releases())
        await self.live.advance(day + timedelta(days=1))
        reports, sent = [], {}
        for release in self.live.service.releases()[before:]:
            name, at = release["recipient"], datetime.fromisoformat(release["released_at"])
            sent[name] = at
            if answers(name, at):
                report = {"kind": "opened", "at": (at + timedelta(minutes=7)).isoformat()}
                reports.append(report | {"id": release["occurrence_id"], "occurrence_id": release["occurrence_id"]})
        await self.report(reports)
        return sent

    async def report(self, reports: list[dict[str, Any]]) -> dict[str, Any]:
        """Report engagement, the last first; nothing of it is refused."""
        shown = await self.live.post("/v1/engagements", reports[::-1])
        assert shown["rejected"] == 0, [item for item in shown["items"] if item["error"]][:3]
        return shown


def at_any_hour(name: str, day: datetime) -> dict[str, Any]:
    """History: at an hour that the dice choose."""
    return {"kind": "at", "at": (day + timedelta(hours=6 + int(16 * dice("hour", name, day)))).isoformat()}


def best(name: str, day: datetime) -> dict[str, Any]:
    """The best moment of the day between six and ten."""
    start, end = day + timedelta(hours=6), day + timedelta(hours=22)
    return {"kind": "best", "from": start.strftime("%Y-%m-%dT%H:%M"), "to": end.strftime("%Y-%m-%dT%H:%M")}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(profile: Profile) -> AsyncIterator[Town]:
    """A service of its own, on virtual time, whose people have lived a few days with messages at any hour."""
    async with running(profile, clock=f"virtual={MONDAY.isoformat()}") as live:
        town = Town(live)
        await town.settle_in()
        for number in range(HISTORY_DAYS):
            day = MONDAY + timedelta(days=number)
            await town.ask(day, at_any_hour, "history")
            await town.pass_a_day(day)
        # The last windows end a day after the last message.
        await live.advance(MONDAY + timedelta(days=HISTORY_DAYS + 1))
        yield town


@pytest.mark.covers("OPT-02", "OPT-08", "OPT-11")
async def test_plans_move_to_the_hours_that_were_learnt(town: Town) -> None:
    """What is sent goes to each kind's hour, but for the hold-out; explain says why; a time set by hand wins."""
    live, day = town.live, MONDAY + timedelta(days=HISTORY_DAYS + 1)
    # One is asked before anything was fitted for this day, and keeps to what is set by hand.
    by_hand = NAMES[0]
    body = {"zone": "UTC", "segment": segment(by_hand), "best_time": "13:30"}
    answered(await live.client.put(f"/v1/recipients/{by_hand}", json=body), 200)
    fitted = await live.post("/v1/models/fit")
    assert fitted["model"]["segments"] == ["", "larks", "owls"]
    asked = await town.ask(day, best, "digest")
    sent = await town.pass_a_day(day)
    assert sent.keys() == set(NAMES)
    assert sent.pop(by_hand).strftime("%H:%M") == "13:30"
    plans = await chosen(live, asked)
    away: dict[str, list[float]] = defaultdict(list)
    held = 0
    for name, at in sent.items():
        choice = plans[name]
        assert choice["model"] == fitted["model"]["version"]
        assert 0 < choice["propensity"] <= 1
        if choice["holdout"]:
            held += 1
            assert (at.strftime("%H:%M"), choice["level"]) == ("09:00", "default")
        elif not choice["explored"]:
            assert choice["level"] in ("recipient", "segment")
            assert choice["confidence"] >= 0.7
            away[segment(name)].append(abs(at.hour + at.minute / 60 - HABITS[segment(name)]))
    assert 0 < held < PEOPLE * 0.1
    # Chosen at random they would be four hours away on average; the default is one and eleven.
    assert {kind: mean(hours) < 1.5 for kind, hours in away.items()} == {"larks": True, "owls": True}
    owl = next(name for name in sent if segment(name) == "owls" and not plans[name]["holdout"])
    page = await live.get(f"/v1/schedules/{asked[owl]['id']}/occurrences")
    story = " ".join((await live.explain(page["items"][0]["id"]))["story"])
    assert "was chosen within the window, by" in story
    assert f"(model {fitted['model']['version']})" in story


async def test_the_hours_that_a_timing_allows_win_over_what_was_learnt(town: Town) -> None:
    """An owl's message that must not go out in the evening goes out in the afternoon."""
    live, now = town.live, await town.live.now()
    day = now.replace(hour=0) + timedelta(days=1)
    owls = [name for name in NAMES[2:60] if segment(name) == "owls"]
    hours = {"start": "08:00", "end": "15:00"}
    items = [{"recipient": name, "channel": "log:", "timing": best(name, day) | {"hours": hours}} for name in owls]
    shown = await live.post("/v1/schedules/bulk", items)
    due = [datetime.fromisoformat(item["next_due_at"]) for item in shown["items"]]
    assert all(day + timedelta(hours=8) <= at < day + timedelta(hours=15) for at in due)


async def test_best_times_show_what_was_learnt_until_it_is_forgotten(town: Town) -> None:
    """The week of one of each kind, as numbers and as a picture; then nothing of one of them is left."""
    live = town.live
    lark, owl = NAMES[101 % PEOPLE], NAMES[102 % PEOPLE]
    for name, hours in ((lark, (6, 7, 8, 9)), (owl, (18, 19, 20, 21))):
        shown = await live.get(f"/v1/recipients/{name}/best-times")
        curve = [hour["chance"] for hour in shown["hours"]["monday"]]
        assert max(range(6, 22), key=lambda hour: curve[hour]) in hours
        assert shown["evidence"]["asked"] > 3
        assert shown["evidence"]["active"] > 0
    picture = await live.client.get(f"/v1/recipients/{owl}/best-times", params={"format": "svg"})
    assert picture.text.count("<rect") == 7 * 24 + 1
    gone = answered(await live.client.delete(f"/v1/recipients/{owl}/best-times"), 200)
    shown = await live.get(f"/v1/recipients/{owl}/best-times", min_position=gone["position"])
    assert shown["evidence"] == {"asked": 0, "answered": 0, "active": 0}
    if live.service.environment["HORAE_PROFILE"] == EMBEDDED:
        conn = await live.service.connect()
        try:
            assert await conn.fetchval("SELECT count(*) FROM read.habits") == PEOPLE - 1
        finally:
            await conn.close()


@pytest.mark.covers("LIF-26")
async def test_a_rebuild_learns_the_same_to_the_last_bit(town: Town) -> None:
    """The tables of the learner are compared with the others, after the forgetting too."""
    printed = await horae(town.live.service, "rebuild")
    assert "differ" not in printed.lower(), printed
    assert "habits" in printed


async def chosen(live: Live, asked: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The choices that the schedules' plans hold, by person, from the stream of events."""
    ids = {item["id"]: name for name, item in asked.items()}
    created = await live.events(lambda e: e["event"] == "schedule.created.v1" and e["stream"] in ids, len(ids))
    return {ids[event["stream"]]: event["data"]["next"]["plan"]["choice"] for event in created}
