"""Imported events with the occurrences that recurring-ical-events finds in them; DTSTART is one, named or not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta
from itertools import islice
from pathlib import Path

import pytest

from horae.commands.importing import Item, Reject
from horae.domain import errors
from horae.domain import timing as t
from horae.infra.importing.calendar import read_calendar
from tests.domain.timing.cases import context, timing, walk
from tests.infra.importing.test_round_trip import event, file

CASES = Path(__file__).parents[2] / "domain" / "timing" / "oracles" / "recurring_ical_events.txt"


def read(start: str, zone: str, lines: str) -> Item | Reject:
    """What becomes of an event that begins at a local time of a zone, or on a day."""
    local = start.replace("-", "").replace(":", "")
    text = file(event(lines, start=local, zone=zone))
    if "T" not in start:
        text = text.replace(f"DTSTART;TZID={zone}:", "DTSTART;VALUE=DATE:")
    (entry,) = read_calendar(text, channel="log:", all_day_at=time(0))
    return entry


def occurrences(start: str, zone: str, lines: str) -> list[datetime]:
    """Every instant of an event in the first 1,100 days. Raises `errors.Invalid` where the timing is refused."""
    begin = datetime.fromisoformat(start).replace(tzinfo=UTC)
    ctx = context(begin - timedelta(days=3))
    entry = read(start, zone, lines)
    assert isinstance(entry, Item), entry
    gone = {datetime.fromisoformat(at) for at in entry.skips}
    found = []
    for slot in walk(t.normalise(timing(**entry.body["timing"]), ctx), ctx):
        if slot.due_at >= begin + timedelta(days=1100):
            break
        if slot.slot.local not in gone:
            found.append(slot.due_at)
    return found


@pytest.mark.covers("REC-01", "TZ-29", "INT-05")
def test_the_calendars_of_recurring_ical_events(record_property: Callable[[str, object], None]) -> None:
    """As many occurrences in the first 1,100 days, and the first twelve at the same instants.

    Rules that come to nothing, or break the RFC, are refused.
    """
    rows = [line.split("|") for line in CASES.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    wrong: list[str] = []
    same = refused = 0
    for name, zone, start, lines, count, times in rows:
        try:
            found = occurrences(start, zone, lines.replace("\\n", "\n"))
        except errors.Invalid as refusal:
            refused += 1
            if int(count) and "COUNT and UNTIL exclude each other" not in refusal.message:
                wrong.append(f"{name} {lines}: {refusal.message}")
            continue
        shown = [f"{at:%Y-%m-%dT%H:%M}" for at in found]
        if (len(shown), shown[:12]) == (int(count), [at for at in times.split(",") if at]):
            same += 1
        else:
            wrong.append(f"{name} {zone} {start} {lines}: {len(shown)} {shown[:12]}, theirs {count} {times}")
    record_property("report", f"recurring-ical-events: {same} the same, {refused} refused.")
    assert wrong == []
    assert same >= 112


@pytest.mark.covers("INT-05")
@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("RRULE:FREQ=WEEKLY;BYDAY=FR;COUNT=3", ["1201T0900", "1204T0900", "1211T0900"]),
        ("RRULE:FREQ=WEEKLY;BYDAY=FR;COUNT=1", ["1201T0900"]),
        ("RRULE:FREQ=WEEKLY;BYDAY=TU;COUNT=2", ["1201T0900", "1208T0900"]),
        ("RRULE:FREQ=WEEKLY;BYDAY=FR;COUNT=3\nEXDATE:20261201T090000Z", ["1204T0900", "1211T0900"]),
        ("RRULE:FREQ=WEEKLY;BYDAY=FR;UNTIL=20261202T000000Z", ["1201T0900"]),
        ("RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", ["1201T0900"]),
        (
            "RRULE:FREQ=DAILY;BYHOUR=8,10;COUNT=3\nRDATE:20261224T120000Z",
            ["1201T0900", "1201T1000", "1202T0800", "1224T1200"],
        ),
        ("RRULE:FREQ=HOURLY;BYMINUTE=30;COUNT=3", ["1201T0900", "1201T0930", "1201T1030"]),
    ],
)
def test_the_start_is_the_first_of_an_events_times(lines: str, expected: list[str]) -> None:
    """RFC 5545, §3.3.10: DTSTART always counts as the first occurrence, also of COUNT; EXDATE may leave it out."""
    found = occurrences("2026-12-01T09:00:00", "UTC", lines)
    assert [f"{at:%m%dT%H%M}" for at in islice(found, 10)] == expected
