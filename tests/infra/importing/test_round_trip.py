"""What a feed tells, an import of it understands: the same instants; and what other programs write, as they mean it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from horae.commands.importing import Item, Reject
from horae.domain import timing as t
from horae.infra.importing.calendar import read_calendar
from tests.api.test_icalendar_holds import CASES, MOVES, NOW, Case, Moves, compared, file_of, row, slots

CASE_ID = UUID(int=1)
_TIMING: TypeAdapter[t.Timing] = TypeAdapter(t.Timing)


def read(file: str) -> list[Item]:
    """The file's items; none may be refused."""
    entries = list(read_calendar(file, channel="log:"))
    assert [entry for entry in entries if isinstance(entry, Reject)] == []
    return [entry for entry in entries if isinstance(entry, Item)]


def due(item: Item, ctx: t.Context) -> list[datetime]:
    """When the schedule that the item asks for would go out."""
    timing = _TIMING.validate_python(item.body["timing"])
    if isinstance(timing, t.At) and timing.at is not None and timing.at <= ctx.now:
        return []
    timing = t.normalise(timing, ctx)
    gone = frozenset(t.Slot(local=datetime.fromisoformat(at)) for at in item.skips)
    ctx = replace(ctx, exceptions=gone)
    if isinstance(timing, t.Every):
        return [at.due_at for at in slots(timing, ctx, 60)]
    once = t.first(timing, ctx)
    return [once.due_at] if once is not None else []


@pytest.mark.covers("LIF-06", "INT-05")
@settings(max_examples=100)
@given(CASES, st.sets(st.integers(0, 9), max_size=3), MOVES)
def test_export_then_import_gives_the_same_instants(case: Case, skip: set[int], moves: Moves) -> None:
    """Any rule, zone, policy, jitter, count and slots taken out or changed by themselves, across clock changes: nothing
    moved, lost or added, and each slot's own words come back.
    """
    file, expected, ctx = compared(case, skip, moves)
    if not expected:
        return
    items = read(file)
    found = sorted({at for item in items for at in due(item, ctx) if ctx.now < at <= expected[-1]})
    assert found == expected
    own = [words for item in items if (words := item.body["content"]["subject"]) != "Hi"]
    assert {*own} <= {f"slot {index}" for index in moves}
    assert len(own) == len({*own})


@given(st.text(min_size=1, max_size=60).filter(lambda text: "\x00" not in text), st.integers(1, 5))
def test_a_recipient_and_a_priority_come_back(recipient: str, priority: int) -> None:
    """Whatever characters the id has."""
    ctx = t.Context(NOW, CASE_ID)
    shown = row(t.normalise(t.At(at=NOW + timedelta(days=1)), ctx), ctx, recipient=recipient, priority=priority)
    (item,) = read(file_of(shown, now=NOW))
    assert (item.body["recipient"], item.body["priority"]) == (recipient, priority)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("RDATE;TZID=Europe/Berlin:20261224T100000,20261226T090000", ["01T08", "24T09", "26T08"]),
        ("RRULE:FREQ=DAILY;COUNT=3\nRDATE;VALUE=PERIOD:20261224T100000Z/PT1H", ["01T08", "02T08", "03T08", "24T10"]),
        ("RRULE:FREQ=WEEKLY;COUNT=2\nRRULE:FREQ=MONTHLY;COUNT=1", ["01T08", "08T08"]),
        ("RRULE:FREQ=DAILY;COUNT=3\nEXDATE:20261202T080000Z", ["01T08", "03T08"]),
    ],
)
def test_dates_beside_a_rule_and_several_rules_are_held(lines: str, expected: list[str]) -> None:
    """As RFC 5545 has it: the union, less what is left out; without a rule the start is one of the dates."""
    (item,) = read(file(event(lines)))
    ctx = t.Context(NOW - timedelta(days=1), CASE_ID)
    assert [f"{at:%dT%H}" for at in due(item, ctx)] == expected


def test_one_date_of_a_series_that_is_changed_goes_its_own_way() -> None:
    """RECURRENCE-ID: left out of the series, and a schedule of its own; cancelled, only left out."""
    moved = event("RECURRENCE-ID;TZID=Europe/Berlin:20261202T090000", start="20261202T150000")
    gone = event("RECURRENCE-ID:20261203T080000Z\nSTATUS:CANCELLED")
    series, other = read(file(event("RRULE:FREQ=DAILY;COUNT=4"), moved, gone))
    ctx = t.Context(NOW - timedelta(days=1), CASE_ID)
    assert [f"{at:%dT%H}" for at in due(series, ctx)] == ["01T08", "04T08"]
    assert [f"{at:%dT%H}" for at in due(other, ctx)] == ["02T14"]
    assert len({item.idempotency_key for item in (series, other)}) == 2


@pytest.mark.parametrize(
    ("lines", "place"),
    [
        ("RECURRENCE-ID;RANGE=THISANDFUTURE:20261202T080000Z", "RECURRENCE-ID"),
        ("STATUS:CANCELLED", "STATUS"),
        ("EXRULE:FREQ=DAILY", "EXRULE"),
    ],
)
def test_what_cannot_be_held_is_refused_by_name(lines: str, place: str) -> None:
    """Never bent."""
    (reject,) = read_calendar(file(event(lines)), channel="log:")
    assert isinstance(reject, Reject)
    assert reject.place == place


def test_a_zone_may_have_a_name_of_a_programs_own_in_front() -> None:
    """As some write it, with who it comes from."""
    (item,) = read(file(event("", start="20261202T090000", zone="/example.org/20260101_1/Europe/Berlin")))
    assert item.body["timing"]["zone"] == "Europe/Berlin"


def event(lines: str, *, start: str = "20261201T090000", zone: str = "Europe/Berlin") -> str:
    """A VEVENT that begins at 9 in Berlin."""
    body = f"UID:a\nDTSTAMP:20261101T000000Z\nDTSTART;TZID={zone}:{start}\nX-HORAE-RECIPIENT:anna\n{lines}".strip()
    return f"BEGIN:VEVENT\n{body}\nEND:VEVENT\n"


def file(*events: str) -> str:
    """An iCalendar file."""
    text = f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//example//x//EN\n{''.join(events)}END:VCALENDAR\n"
    return text.replace("\n", "\r\n")
