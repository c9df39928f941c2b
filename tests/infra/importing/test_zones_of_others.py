"""Zones that a calendar file names in its own way: the IANA zone with the same rules, or a refusal by name."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from horae.commands.importing import Item, Reject
from horae.domain import timing as t
from horae.domain.timing import zones
from horae.domain.timing.observances import observances
from horae.infra.importing.calendar import read_calendar
from tests.domain.timing.cases import context, timing, walk
from tests.infra.importing.test_round_trip import event, file

#: As Outlook writes it, with a name of its user's own.
EASTERN = """BEGIN:VTIMEZONE
TZID:{tzid}
BEGIN:STANDARD
DTSTART:16011104T020000
RRULE:FREQ=YEARLY;BYDAY=1SU;BYMONTH=11
TZOFFSETFROM:-0400
TZOFFSETTO:-0500
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:16010311T020000
RRULE:FREQ=YEARLY;BYDAY=2SU;BYMONTH=3
TZOFFSETFROM:-0500
TZOFFSETTO:-0400
END:DAYLIGHT
END:VTIMEZONE
"""
FIXED = """BEGIN:VTIMEZONE
TZID:{tzid}
BEGIN:STANDARD
DTSTART:19700101T000000
TZOFFSETFROM:{offset}
TZOFFSETTO:{offset}
END:STANDARD
END:VTIMEZONE
"""
WEEKLY = "RRULE:FREQ=WEEKLY;BYDAY=TU"


def read(tzid: str, vtimezone: str = "", lines: str = WEEKLY) -> Item | Reject:
    """What becomes of an event at 9 o'clock of a zone."""
    (entry,) = read_calendar(file(vtimezone, event(lines, zone=tzid)), channel="log:")
    return entry


def zone_of(entry: Item | Reject) -> str:
    assert isinstance(entry, Item), entry
    zone: str = entry.body["timing"]["zone"]
    return zone


@pytest.mark.covers("INT-05", "TZ-29")
@pytest.mark.parametrize(
    ("tzid", "zone"),
    [
        ("W. Europe Standard Time", "Europe/Berlin"),
        ("Eastern Standard Time", "America/New_York"),
        ('"India Standard Time"', "Asia/Calcutta"),
    ],
)
def test_names_of_windows_are_known_without_rules(tzid: str, zone: str) -> None:
    """By the Unicode Consortium's table; the file's own name is kept beside it."""
    entry = read(tzid)
    assert zones.canonical(zone_of(entry)) == zones.canonical(zone)
    assert isinstance(entry, Item)
    assert entry.body["metadata"]["tzid"] == tzid.strip('"')


@pytest.mark.covers("INT-05", "TZ-29")
@pytest.mark.parametrize(
    ("tzid", "vtimezone", "zone"),
    [
        ("Eastern Standard Time (custom)", EASTERN, "America/New_York"),
        ("Customized Time Zone", EASTERN, "America/New_York"),
        ("the office in Detroit", EASTERN, "America/Detroit"),
        ("ours", EASTERN.replace("TZID:{tzid}", "TZID:{tzid}\nX-LIC-LOCATION:America/Toronto"), "America/Toronto"),
        ("five hours and a half", FIXED.replace("{offset}", "+0530"), "Asia/Kolkata"),
        ("always an hour", FIXED.replace("{offset}", "+0100"), "Etc/GMT-1"),
        ("none", FIXED.replace("{offset}", "+0000"), "UTC"),
    ],
)
def test_a_zone_of_the_files_own_is_known_by_its_rules(tzid: str, vtimezone: str, zone: str) -> None:
    """Where several have them the file's words decide, then Windows' choice."""
    assert zones.canonical(zone_of(read(tzid, vtimezone.format(tzid=tzid)))) == zone


@pytest.mark.covers("INT-05")
@pytest.mark.parametrize(
    ("vtimezone", "reason"),
    [
        ("", "no VTIMEZONE of that name"),
        (FIXED.format(tzid="mine", offset="+0123"), "the rules of no zone"),
        (EASTERN.format(tzid="mine").replace("BYMONTH=11", "BYMONTH=12"), "the rules of no zone"),
        (EASTERN.format(tzid="mine").replace("FREQ=YEARLY", "FREQ=SECONDLY"), "cannot be read"),
        ("BEGIN:VTIMEZONE\nTZID:mine\nEND:VTIMEZONE\n", "neither STANDARD nor DAYLIGHT"),
    ],
)
def test_a_zone_that_is_none_is_refused_by_name(vtimezone: str, reason: str) -> None:
    """With what to do; it is neither UTC nor the recipient's."""
    entry = read("mine", vtimezone)
    assert isinstance(entry, Reject)
    assert (entry.place, "'mine'" in entry.reason, reason in entry.reason) == ("DTSTART", True, True), entry
    assert "IANA" in entry.hint


def test_a_file_may_tell_no_more_than_the_events_own_time() -> None:
    """One date in winter, and a VTIMEZONE of that winter alone; or a series that ends before the rules are told."""
    short = EASTERN.format(tzid="mine").replace("RRULE:FREQ=YEARLY;BYDAY=1SU;BYMONTH=11\n", "")
    short = short.replace("RRULE:FREQ=YEARLY;BYDAY=2SU;BYMONTH=3\n", "").replace("16011104", "20261101")
    short = short.replace("16010311", "20260308")
    assert zone_of(read("mine", short, "")) == "America/New_York"
    assert zone_of(read("mine", short, "RRULE:FREQ=DAILY;COUNT=5")) == "America/New_York"
    assert isinstance(read("mine", short), Reject), "without an end it would need the rules of summer"


def test_times_in_other_zones_are_read_by_their_own_rules() -> None:
    """An EXDATE told on the clock of another zone of the file's own."""
    text = file(
        EASTERN.format(tzid="mine"), event(f"{WEEKLY}\nEXDATE;TZID=mine:20261208T030000", start="20261201T090000")
    )
    (entry,) = read_calendar(text, channel="log:")
    assert isinstance(entry, Item)
    assert entry.skips == ("2026-12-08T09:00:00",)


@pytest.mark.covers("TZ-29")
@settings(max_examples=25, deadline=None)
@given(st.sampled_from(sorted(name for name in zones.zone_names() if "/" in name and zones.canonical(name) == name)))
def test_any_zone_is_known_again_by_its_rules(name: str) -> None:
    """Whatever zone a VTIMEZONE was made of, under a name that says nothing: the same instants for eight years."""
    lines = ["BEGIN:VTIMEZONE", "TZID:zone-17"]
    for each in observances(name, 2026, 2037):
        kind = "DAYLIGHT" if each.dst else "STANDARD"
        lines += [f"BEGIN:{kind}", f"TZOFFSETFROM:{offset(each.before)}", f"TZOFFSETTO:{offset(each.after)}"]
        lines += [f"DTSTART:{each.onsets[0]:%Y%m%dT%H%M%S}"]
        lines += [f"RRULE:{each.rule}"] if each.rule else [f"RDATE:{at:%Y%m%dT%H%M%S}" for at in each.onsets[1:]]
        lines += [f"END:{kind}"]
    entry = read("zone-17", "\n".join([*lines, "END:VTIMEZONE", ""]), "RRULE:FREQ=DAILY;INTERVAL=3")
    assert isinstance(entry, Item), entry
    assert instants(entry.body["timing"]) == instants({**entry.body["timing"], "zone": name})


def offset(value: timedelta) -> str:
    """As iCalendar writes it: `-0430`."""
    minutes = abs(value) // timedelta(minutes=1)
    return f"{'-' if value < timedelta(0) else '+'}{minutes // 60:02}{minutes % 60:02}"


def instants(body: dict[str, object]) -> list[datetime]:
    ctx = context("2026-11-30T00:00")
    found: list[datetime] = []
    for slot in walk(t.normalise(timing(**body), ctx), ctx):
        if slot.due_at.year > 2034:
            return found
        found.append(slot.due_at)
    return found
