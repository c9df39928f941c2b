"""Events that are not what they say: each is refused for itself, by the property at fault and what it says."""

from __future__ import annotations

import pytest

from horae.commands.importing import ImportFileError, Item, Reject
from horae.infra.importing.calendar import read_calendar

START = "DTSTART:20270104T090000Z"
ATTENDEE = "ATTENDEE:mailto:ann@example.com"
DAILY = "RRULE:FREQ=DAILY;COUNT=9"


def event(uid: str, *lines: str) -> str:
    """A VEVENT of these lines."""
    return "\r\n".join(["BEGIN:VEVENT", f"UID:{uid}", ATTENDEE, *lines, "END:VEVENT", ""])


def file(*events: str) -> str:
    """A calendar of them."""
    return f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\n{''.join(events)}END:VCALENDAR\r\n"


#: Its lines, the property that is at fault, and what the refusal repeats of it.
BAD = [
    (["DTSTART:tomorrow"], "DTSTART", "tomorrow"),
    (["DTSTART;VALUE=DATE:20270231"], "DTSTART", "20270231"),
    (["DTSTART:00000104T090000Z"], "DTSTART", "00000104T090000Z"),
    (["DTSTART;VALUE=TIME:090000"], "DTSTART", "090000"),
    (["DTSTART;VALUE=PERIOD:20270104T090000Z/PT1H"], "DTSTART", "20270104T090000Z/PT1H"),
    ([START, "DTSTART:20270105T090000Z"], "DTSTART", "20270105T090000Z"),
    ([START, DAILY, "EXDATE:20270230T090000Z"], "EXDATE", "20270230T090000Z"),
    ([START, DAILY, "EXDATE:PT1H"], "EXDATE", "PT1H"),
    ([START, "RDATE:xx"], "RDATE", "xx"),
    ([START, "RECURRENCE-ID:x"], "RECURRENCE-ID", "x"),
    ([START, "RECURRENCE-ID;VALUE=TIME:090000"], "RECURRENCE-ID", "090000"),
    (
        [START, "RECURRENCE-ID:20270104T090000Z", "RECURRENCE-ID:20270105T090000Z"],
        "RECURRENCE-ID",
        "20270105T090000Z",
    ),
    (["DTSTART;TZID=Asia/Tokyo:00010101T000000", DAILY, "EXDATE:00010101T000000Z"], "DTSTART", "00010101T000000"),
    (["DTSTART;TZID=Asia/Tokyo:20270104T090000", DAILY, "EXDATE:99991231T200000Z"], "EXDATE", "99991231T200000Z"),
    ([START, DAILY, "EXDATE;TZID=Nowhere/Land:20270104T090000"], "EXDATE", "Nowhere/Land"),
    ([START, "SUMMARY:a", "SUMMARY:b"], "SUMMARY", "'a' and 'b'"),
    ([START, "DESCRIPTION:a", "DESCRIPTION:b"], "DESCRIPTION", "'a' and 'b'"),
    ([START, "LOCATION:a", "LOCATION:b"], "LOCATION", "'a' and 'b'"),
    ([START, "URL:http://a", "URL:http://b"], "URL", "'http://a' and 'http://b'"),
    ([START, "STATUS:CONFIRMED", "STATUS:CANCELLED"], "STATUS", "CANCELLED"),
    ([START, "PRIORITY:1", "PRIORITY:2"], "PRIORITY", "'1' and '2'"),
    ([START, "UID:other"], "UID", "'bad' and 'other'"),
    ([START, "X-HORAE-RECIPIENT:a", "X-HORAE-RECIPIENT:b"], "X-HORAE-RECIPIENT", "'a' and 'b'"),
]


@pytest.mark.parametrize(("lines", "place", "value"), BAD, ids=lambda each: str(each)[:40])
def test_a_bad_event_is_refused_by_its_property_and_the_others_are_taken(
    lines: list[str], place: str, value: str
) -> None:
    """Those before and behind it, also of the same UID."""
    text = file(event("good", START), event("bad", *lines), event("bad", START), event("last", START))
    entries = list(read_calendar(text, channel="log:"))
    assert [type(entry) for entry in entries] == [Item, Reject, Item, Item]
    refused = entries[1]
    assert isinstance(refused, Reject)
    assert (refused.row, refused.label, refused.place) == (2, "bad", place), refused.reason
    assert value in refused.reason
    assert refused.hint


def test_when_an_event_was_written_need_not_be_known() -> None:
    """It only helps to find the zone."""
    (entry,) = read_calendar(file(event("a", "DTSTAMP:x", "DTSTART;TZID=Office:20270104T090000")), channel="log:")
    assert isinstance(entry, Reject)
    assert entry.reason.startswith("The zone 'Office' is unknown")


@pytest.mark.parametrize(
    "vtimezone",
    ["DTSTART:zz", "DTSTART:19700101T000000\r\nTZOFFSETFROM:zz\r\nTZOFFSETTO:9", "DTSTART:19700101T000000"],
)
def test_a_file_with_a_zone_that_cannot_be_read_is_none(vtimezone: str) -> None:
    """Which events it concerns the library does not tell."""
    zone = f"BEGIN:VTIMEZONE\r\nTZID:Office\r\nBEGIN:STANDARD\r\n{vtimezone}\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\n"
    text = file(zone, event("a", "DTSTART;TZID=Office:20270104T090000"))
    with pytest.raises(ImportFileError, match="The file is no iCalendar: "):
        list(read_calendar(text, channel="log:"))
