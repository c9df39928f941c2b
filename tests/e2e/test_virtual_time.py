"""Two years of days in one request: every slot of a daily schedule across all clock changes, counted at the receiver.

The expectation is worked out here, with `zoneinfo` and the dates of the clock changes, not with the service's engine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import pytest_asyncio

from tests.e2e.live import Live, decision, fresh, running
from tests.e2e.profiles import Profile
from tests.e2e.receiver import Received, Receiver

pytestmark = [
    pytest.mark.longer,
    pytest.mark.e2e,
    pytest.mark.xdist_group("e2e-years"),
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(400),  # the first test's set-up moves time over two years
]

HALF_PAST_TWO = time(2, 30)
FIRST, LAST = date(2027, 1, 1), date(2028, 12, 31)
DAYS = [FIRST + timedelta(days=n) for n in range((LAST - FIRST).days + 1)]
#: The days on which 02:30 does not exist, and on which it comes twice.
GAPS = {
    "Europe/Berlin": {date(2027, 3, 28), date(2028, 3, 26)},
    "America/New_York": {date(2027, 3, 14), date(2028, 3, 12)},
}
OVERLAPS = {"Europe/Berlin": {date(2027, 10, 31), date(2028, 10, 29)}, "America/New_York": set[date]()}
HOUR = timedelta(hours=1)

#: Name -> zone and policies. `both`: gaps are skipped, overlaps fire twice.
SERIES: dict[str, tuple[str, dict[str, str]]] = {
    "berlin": ("Europe/Berlin", {}),
    "new-york": ("America/New_York", {}),
    "berlin-both": ("Europe/Berlin", {"gap": "skip", "overlap": "both"}),
}


@dataclass(frozen=True)
class Years:
    """After two years: the service, and per series its schedule, its preview and what was received."""

    live: Live
    created: dict[str, dict[str, Any]]
    preview: dict[str, list[dict[str, Any]]]
    received: dict[str, list[Received]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def years(profile: Profile) -> AsyncIterator[Years]:
    """All series side by side, over the same two years."""
    async with running(profile, clock="virtual=2026-12-31T12:00:00Z") as live, Receiver() as receiver:
        created, preview = {}, {}
        for name, (zone, policies) in SERIES.items():
            timing = {"kind": "every", "cron": "30 2 * * *", "zone": zone, "ends_at": "2028-12-31", **policies}
            created[name] = await live.create(channel=receiver.at(name), timing=timing, recipient=fresh())
            preview[name] = (await live.get(f"/v1/schedules/{created[name]['id']}/preview", count=1000))["slots"]
        await live.advance(datetime(2029, 1, 2, tzinfo=UTC))
        received = {name: [r for r in receiver.requests if r.path == f"/{name}"] for name in SERIES}
        yield Years(live, created, preview, received)


def expected(zone: str, policies: dict[str, str]) -> list[tuple[str, int, str]]:
    """Slot, fold and due instant of every release."""
    there = ZoneInfo(zone)
    found = []
    for day in DAYS:
        local = datetime.combine(day, HALF_PAST_TWO)
        # Before a gap's end the older offset holds: 02:30 standard time is 03:30 summer time, the gap's length later.
        due = local.replace(tzinfo=there).astimezone(UTC)
        if day in GAPS[zone]:
            assert due.astimezone(there).replace(tzinfo=None) == local + HOUR
            if policies.get("gap") == "skip":
                continue
        else:
            assert due.astimezone(there).replace(tzinfo=None) == local
        found.append((local.isoformat(), 0, due.strftime("%Y-%m-%dT%H:%M:%SZ")))
        if day in OVERLAPS[zone] and policies.get("overlap") == "both":
            found.append((local.isoformat(), 1, (due + HOUR).strftime("%Y-%m-%dT%H:%M:%SZ")))
    return found


@pytest.mark.covers("TZ-29", "ACC-03", "REC-29")
@pytest.mark.parametrize("name", SERIES)
async def test_two_years_of_days_fire_at_the_right_instants(years: Years, name: str) -> None:
    """Slots, folds and instants are those worked out here; each once, in order, none too many."""
    zone, policies = SERIES[name]
    releases = [request.json for request in years.received[name]]
    fired = [(release["slot"], release["fold"], release["due_at"]) for release in releases]
    assert fired == expected(zone, policies)
    assert len(fired) == 731
    assert len({request.occurrence for request in years.received[name]}) == 731


@pytest.mark.parametrize("name", ["berlin", "new-york"])
async def test_days_are_23_24_or_25_hours_long(years: Years, name: str) -> None:
    """Twice 23 hours after the shifted slots, twice 25 in autumn; nothing drifts."""
    instants = [datetime.fromisoformat(request.json["due_at"]) for request in years.received[name]]
    lengths = Counter(later - earlier for earlier, later in pairwise(instants))
    assert lengths == {24 * HOUR: 726, 23 * HOUR: 2, 25 * HOUR: 2}


@pytest.mark.covers("REC-20")
@pytest.mark.parametrize("name", SERIES)
async def test_what_was_promised_is_what_fired(years: Years, name: str) -> None:
    """The preview of the beginning, of all two years, is what was received."""
    fired = [(request.json["slot"], request.json["fold"], request.json["due_at"]) for request in years.received[name]]
    assert [(slot["slot"], slot["fold"], slot["due_at"]) for slot in years.preview[name]] == fired


@pytest.mark.parametrize("name", ["berlin", "new-york"])
async def test_shifted_slots_say_so(years: Years, name: str) -> None:
    """Exactly the slots that do not exist are shifted, and the story of each tells it."""
    zone, _ = SERIES[name]
    shifted = [slot for slot in years.preview[name] if slot["branch"] == "gap_shifted"]
    assert [slot["slot"] for slot in shifted] == [f"{day.isoformat()}T02:30:00" for day in sorted(GAPS[zone])]
    ids = {request.json["slot"]: request.occurrence for request in years.received[name]}
    for slot in shifted:
        explained = await years.live.explain(ids[slot["slot"]])
        assert zone in decision(explained, "gap_shifted")["text"]
        assert decision(explained, "due")["facts"]["due_at"] == slot["due_at"]
        assert explained["verdict"] == "delivered"


async def test_a_slot_that_the_clock_skips_can_be_asked_for(years: Years) -> None:
    """With `gap: skip` there is no such slot, and explain says which clock change took it."""
    path = f"/v1/schedules/{years.created['berlin-both']['id']}/explain"
    explained = await years.live.get(path, slot="2027-03-28T02:30")
    assert (explained["verdict"], explained["released"]) == ("gap_skipped", False)
    second = await years.live.get(path, slot="2027-10-31T02:30", fold=1)
    assert (second["verdict"], second["due_at"]) == ("delivered", "2027-10-31T01:30:00Z")


@pytest.mark.parametrize("name", SERIES)
async def test_every_slot_has_one_outcome_on_record(years: Years, name: str) -> None:
    """Two years of occurrences, page by page: each delivered, once, on time by the clock that was moved."""
    path, cursor, items = f"/v1/schedules/{years.created[name]['id']}/occurrences", None, []
    while True:
        page = await years.live.get(path, limit=300, **({"cursor": cursor} if cursor else {}))
        items += page["items"]
        cursor = page["next"]
        if cursor is None:
            break
    assert sorted(item["id"] for item in items) == sorted(request.occurrence for request in years.received[name])
    assert [item["slot"] for item in items[::-1]] == [request.json["slot"] for request in years.received[name]]
    assert {(item["status"], item["attempts"], item["late_ms"]) for item in items} == {("delivered", 1, 0.0)}
    shown = await years.live.get(f"/v1/schedules/{years.created[name]['id']}")
    assert (shown["status"], shown["fired"], shown["missed"], shown["version"]) == ("completed", 731, 0, 1)
