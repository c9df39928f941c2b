"""What feeds hold: laid out by other people's code, and read back in by our own, they name the very same instants."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from icalendar import Calendar

from horae.api.icalendar import AHEAD, Shown, render, timing_of
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.delivery import Delivery
from horae.domain.personal import Personal
from horae.domain.timing.zonefacts import transitions
from horae.domain.timing.zones import to_local, zone_names
from horae.projections.queries import ScheduleRow
from tests.domain.timing.strategies import series
from tests.fixtures.calendar_program import laid_out, zones_of

#: Less than one-offs may lie ahead.
FIVE_YEARS = timedelta(days=5 * 365 - 2)
#: Slots that are compared, and more than a drawn start may leave behind, every ten minutes for 50 hours.
N, PASSED = 40, 400

#: python-dateutil refuses a change by a whole day, and takes a change of standard time for a gap of two days.
BEYOND_OTHERS = {"Pacific/Apia", "Asia/Kathmandu"}

Case = tuple[t.Every, t.Context]
#: Half of the cases have neither policies nor jitter: most of those iCalendar can hold.
CASES = st.one_of(series(), series(policies=False, jitter=False))


def row(timing: t.Timing, ctx: t.Context, **more: Any) -> ScheduleRow:
    """A schedule as the read models have it; its timing is normalised."""
    facts: dict[str, Any] = {
        "id": ctx.schedule_id,
        "tenant": "acme",
        "version": 1,
        "position": 1,
        "status": "pending",
        "recipient": "user-17",
        "recipient_ref": "r",
        "channel": "log:",
        "priority": 3,
        "kind": timing.kind,
        "timing": timing.model_dump_json(),
        "delivery": "{}",
        "content": json.dumps({"subject": "Hi"}),
        "metadata": "{}",
        "expires_after": None,
        "tags": (),
        "cloned_from": None,
        "created_at": ctx.now,
        "updated_at": ctx.now,
        "next": t.first(timing, ctx),
        "zone": None,
        "skipped": tuple(ctx.exceptions),
        "later": (),
        "changes": (),
        "open": 0,
        "fired": 0,
        "missed": 0,
        "executed_at": None,
        "failure_reason": None,
        "conflicts": None,
        "settled": None,
    }
    return ScheduleRow(**facts | more)


def file_of(*rows: ScheduleRow, now: datetime, states: Sequence[s.Schedule] = ()) -> str:
    """The feed of these schedules."""
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    varied = {state.id: state for state in states}
    shown = Shown(title="x", today=today, schedules=rows, calendars={}, states=varied, slots=N + PASSED)
    return render(shown).decode()


Moves = Mapping[int, int | None]
#: Which slots are changed by themselves: moved by so many minutes, or only in what they carry.
MOVES = st.dictionaries(st.integers(0, 9), st.none() | st.integers(-300, 300), max_size=3)


def varied(shown: ScheduleRow, found: Sequence[t.Next], moves: Moves) -> tuple[ScheduleRow, s.Schedule]:
    """The schedule with some of these slots changed by themselves, each with a subject of its own."""
    personal = Personal(recipient=shown.recipient, channel=shown.channel, content={"subject": "Hi"})
    definition = s.Definition(timing=timing_of(shown), priority=shown.priority, delivery=Delivery())
    changes = {
        (at := found[index]).slot: s.OwnChange(
            occurrence=UUID(int=index),
            changed=("content",),
            personal=personal.model_copy(update={"content": {"subject": f"slot {index}"}}),
            priority=shown.priority,
            delivery=Delivery(),
            expires_after=None,
            at=None if by is None else at.model_copy(update={"due_at": at.due_at + timedelta(minutes=by)}),
        )
        for index, by in moves.items()
    }
    state = s.Schedule(
        id=shown.id,
        version=1 + len(changes),
        status=s.Status.ACTIVE,
        recipient_ref=shown.recipient_ref,
        personal=personal,
        definition=definition,
        next=shown.next,
        exceptions=frozenset(shown.skipped),
        changes=changes,
    )
    told = tuple(
        (slot, own.at.due_at if own.at is not None else None, own.changed, None) for slot, own in changes.items()
    )
    return replace(shown, changes=told), state


def slots(every: t.Every, ctx: t.Context, count: int = N) -> list[t.Next]:
    """The first so many slots."""
    found: list[t.Next] = []
    at = t.after(every, ctx.now, ctx)
    while at is not None and len(found) < count:
        found.append(at)
        at = t.following(every, at, ctx)
    return found


def compared(case: Case, skip: set[int], moves: Moves | None = None) -> tuple[str, list[datetime], t.Context]:
    """A feed of the case, with some of its slots taken out or changed; the instants that it must name; its context."""
    timing, ctx = case
    every = t.normalise(timing, ctx)
    assert isinstance(every, t.Every)
    all_slots = slots(every, ctx)
    # Beyond that a changed slot goes out but does not come in, as one-offs reach no further.
    near = [i for i, at in enumerate(all_slots) if i not in skip and at.due_at < ctx.now + FIVE_YEARS]
    moves = {i: by for i, by in (moves or {}).items() if i in near}
    gone = frozenset(at.slot for i, at in enumerate(all_slots) if i in skip)
    ctx = replace(ctx, exceptions=gone)
    shown = row(every, ctx)
    if shown.next is None:
        return "", [], ctx
    shown, state = varied(shown, all_slots, moves)
    moved = {slot: own.at.due_at for slot, own in state.changes.items() if own.at is not None}
    due = sorted(at.due_at.replace(microsecond=0) for at in slots(every, ctx) if at.slot not in moved)
    if not due:
        return "", [], ctx
    # Jitter carries slots in front of, and behind, the last of those that were counted.
    last = min(due[-1] - (every.jitter or timedelta(0)), ctx.now + AHEAD - timedelta(days=1))
    due = sorted({*due, *(at.replace(microsecond=0) for at in moved.values())})
    states = [state] if moves else []
    return file_of(shown, now=ctx.now, states=states), [at for at in due if ctx.now < at <= last], ctx


@pytest.mark.covers("CMP-11")
@settings(max_examples=100)
@given(CASES.filter(lambda case: case[0].zone not in BEYOND_OTHERS), st.sets(st.integers(0, 9), max_size=3), MOVES)
def test_other_programs_lay_a_feed_out_to_our_instants(case: Case, skip: set[int], moves: Moves) -> None:
    """Any rule, zone, policy, jitter and count, slots taken out, moved and changed, across clock changes: by the
    file's own zones, in others' code.
    """
    file, expected, ctx = compared(case, skip, moves)
    if expected:
        assert laid_out(file, ctx.now + timedelta(seconds=1), expected[-1]) == expected


def test_a_slot_that_is_left_out_takes_along_what_a_gap_shifts_onto_it() -> None:
    """00:00 in Beirut falls out on that day, and what it shifts to is the slot of 01:00, which was skipped."""
    ctx = t.Context(datetime(2026, 3, 28, 21, 59, tzinfo=UTC), UUID(int=1))
    every = t.Every(cron="0,15,30,45 0,1,2,3 * * *", zone="Asia/Beirut")
    file, expected, ctx = compared((every, ctx), {0})
    assert expected[0] == datetime(2026, 3, 28, 22, 15, tzinfo=UTC)
    assert laid_out(file, ctx.now + timedelta(seconds=1), expected[-1]) == expected


@pytest.mark.covers("LIF-18")
@pytest.mark.parametrize("by", [None, 90])
def test_a_slot_changed_by_itself_stands_in_place_of_the_series_own(by: int | None) -> None:
    """The series stays one event; another of its UID names the slot, and has its time and its words."""
    ctx = t.Context(NOW, UUID(int=1))
    every = t.normalise(t.Every(cron="0 9 * * *", zone="Europe/Berlin"), ctx)
    assert isinstance(every, t.Every)
    shown, state = varied(row(every, ctx), slots(every, ctx), {1: by})
    file: Any = Calendar.from_ical(file_of(shown, now=NOW, states=[state]))
    series, own = file.walk("VEVENT")
    assert (series["UID"], str(series["SUMMARY"]), "RRULE" in series) == (own["UID"], "Hi", True)
    assert (str(own["SUMMARY"]), "RRULE" in own) == ("slot 1", False)
    named = own["RECURRENCE-ID"]
    assert (f"{named.dt:%Y-%m-%dT%H:%M}", named.params["TZID"]) == ("2026-12-03T09:00", "Europe/Berlin")
    begins = datetime(2026, 12, 3, 8, tzinfo=UTC) + timedelta(minutes=by or 0)
    assert own["DTSTART"].dt.astimezone(UTC) == begins


def test_content_that_changes_from_a_slot_on_is_told_slot_by_slot() -> None:
    """No rule can say it; each slot has the words of its time."""
    ctx = t.Context(NOW, UUID(int=1))
    every = t.normalise(t.Every(cron="0 9 * * *", zone="Europe/Berlin", count=4), ctx)
    assert isinstance(every, t.Every)
    found = slots(every, ctx)
    shown, state = varied(row(every, ctx), found, {1: None})
    on = state.personal.model_copy(update={"content": {"subject": "on"}})
    later = s.Later(found[2].slot, found[2].due_at, on, state.definition)
    shown, state = replace(shown, later=(found[2].slot,)), replace(state, later=(later,))
    file: Any = Calendar.from_ical(file_of(shown, now=NOW, states=[state]))
    told = {event["DTSTART"].dt.day: str(event["SUMMARY"]) for event in file.walk("VEVENT")}
    assert told == {2: "Hi", 3: "slot 1", 4: "on", 5: "on"}


def test_a_file_that_firing_makes_another_has_another_tag() -> None:
    """What held from a slot on is all that holds once firing has come there: one recurring event again, as the ETag
    must tell.
    """
    ctx = t.Context(NOW, UUID(int=1))
    every = t.normalise(t.Every(cron="0 9,10,11 * * *", zone="UTC"), ctx)
    assert isinstance(every, t.Every)
    found = slots(every, ctx)
    shown, state = varied(row(every, ctx), found, {})
    on = state.personal.model_copy(update={"content": {"subject": "on"}})
    later = s.Later(found[2].slot, found[2].due_at, on, state.definition)
    shown, state = replace(shown, later=(found[2].slot,)), replace(state, later=(later,))

    def standing_at(at: t.Next | None, version: int = 1) -> Shown:
        stands = replace(shown, next=at, version=version)
        return Shown(
            title="x", today=NOW.replace(hour=0), schedules=[stands], calendars={}, states={state.id: state}, slots=N
        )

    files = [standing_at(at) for at in (*found[:4], None)]
    made = {file.etag: render(file) for file in files}
    assert [render(file) for file in files] == [made[file.etag] for file in files]
    assert len(set(made.values())) == 3
    assert standing_at(found[0]).etag == files[0].etag
    # The log may be ahead of the read models: then the file has what each of them says.
    assert render(standing_at(found[0], 2)) != render(files[0])
    assert standing_at(found[0], 2).etag != files[0].etag


def test_what_is_left_of_a_series_is_told_by_itself() -> None:
    """A moved slot of a series that has ended, or whose rule has it no longer."""
    ctx = t.Context(NOW, UUID(int=1))
    every = t.normalise(t.Every(cron="0 9 * * *", zone="Europe/Berlin", count=2), ctx)
    assert isinstance(every, t.Every)
    shown, state = varied(row(every, ctx), slots(every, ctx), {1: 600})
    other = t.normalise(t.Every(cron="0 7 * * *", zone="UTC", count=1), ctx)
    another = replace(shown, timing=other.model_dump_json(), next=t.first(other, ctx))
    moved = datetime(2026, 12, 3, 18, tzinfo=UTC)
    for each, before in ((replace(shown, next=None), []), (another, [datetime(2026, 12, 2, 7, tzinfo=UTC)])):
        file = file_of(each, now=NOW, states=[state])
        assert laid_out(file, NOW, NOW + timedelta(days=9)) == [*before, moved]
        assert file.count("SUMMARY:slot 1") == 1


def _zone_file(zone: str) -> str:
    timing, ctx = t.At(local=(NOW + timedelta(days=9)).replace(tzinfo=None), zone=zone), t.Context(NOW, UUID(int=1))
    return file_of(row(t.normalise(timing, ctx), ctx), now=NOW)


def check_zone(name: str) -> None:
    """At every hour around each clock change, and monthly, from 2026 to 2045: somebody else's reading of our VTIMEZONE.

    Beyond what is looked at only zones with a yearly rule go on, and all others of today's are at rest by then.
    """
    file = _zone_file(name)
    if "VTIMEZONE" not in file:
        return
    (theirs,) = zones_of(file).values()
    known = 2026 + 12 if "RDATE" in file else 2045
    for year in range(2026, known):
        around = [change.at + timedelta(hours=h) for change in transitions(name, year) for h in (-25, -3, 3, 25)]
        for at in [datetime(year, month, 15, 12, tzinfo=UTC) for month in range(1, 13)] + around:
            local, _ = to_local(at.replace(tzinfo=None), name)
            assert local.replace(tzinfo=theirs).utcoffset() == local - at.replace(tzinfo=None), (name, at)


NOW = datetime(2026, 12, 1, 8, tzinfo=UTC)
_SAMPLE = (
    *("Europe/Berlin", "Europe/Dublin", "America/New_York", "Africa/Casablanca", "America/Vancouver", "Asia/Gaza"),
    *("Australia/Lord_Howe", "Asia/Kathmandu", "America/Santiago", "Asia/Beirut", "Pacific/Easter", "Etc/GMT+5"),
)


@pytest.mark.covers("TZ-02")
@pytest.mark.parametrize("zone", _SAMPLE)
def test_a_zones_rules_are_in_the_file(zone: str) -> None:
    """Yearly rules, lists where there is none, saving below zero, half an hour, a change that is the last."""
    check_zone(zone)


@pytest.mark.soak
@pytest.mark.covers("TZ-02")
def test_every_zones_rules_are_in_the_file() -> None:
    """All of the database's."""
    for zone in sorted(zone_names()):
        check_zone(zone)
