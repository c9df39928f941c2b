"""Under which keys a calendar's events are sent: a second import adds nothing, and no two people share one."""

from __future__ import annotations

from horae.commands.importing import Item
from horae.infra.importing.calendar import read_calendar

EVENT = """BEGIN:VCALENDAR
VERSION:2.0
BEGIN:VEVENT
UID:{uid}
DTSTART:20270320T090000Z
SUMMARY:Standup
{attendees}
END:VEVENT
END:VCALENDAR
"""


def keys(uid: str, *people: str) -> list[str]:
    attendees = "\n".join(f"ATTENDEE:mailto:{person}" for person in people)
    entries = list(read_calendar(EVENT.format(uid=uid, attendees=attendees), channel="log:"))
    return [entry.idempotency_key for entry in entries if isinstance(entry, Item)]


def test_a_key_names_the_event_and_where_there_are_several_the_person() -> None:
    """Readable, so that a key in a problem document says which event it was."""
    assert keys("e-1", "ann@example.com") == ["import:ics:e-1"]
    assert keys("e-1", "ann@example.com", "bob@example.com") == [
        "import:ics:e-1:ann@example.com",
        "import:ics:e-1:bob@example.com",
    ]


def test_long_uids_do_not_make_two_people_one() -> None:
    """A key has a limit; what is longer is hashed as a whole, so that neither people nor events fall together."""
    uid = "u" * 300
    ann, bob = keys(uid, "ann@example.com", "bob@example.com")
    (other,) = keys(uid + "2", "ann@example.com")
    assert len({ann, bob, other, *keys(uid, "ann@example.com")}) == 4
    assert all(len(key) <= 255 and key.startswith("import:ics:") for key in (ann, bob, other))
    assert keys(uid, "ann@example.com", "bob@example.com") == [ann, bob], "the same again"
