"""Writes the example files: a 10,000-row CSV with the dirt of life, an iCalendar file, and the expected verdicts.

Run it from the project's root: `.venv/bin/python examples/generate.py`. The output is the same for the same seed and is
committed; a test compares. The expected verdicts come from how each row was made, never from the product: this module
imports nothing of it.

`appointments.csv`            a clinic's export: UTF-8 with BOM, CRLF, commas and line breaks in quotes
`appointments.expected.csv`   row (1 = first after the header), verdict, offending field, first due instant
`calendar.ics`                RRULE, EXDATE, VTIMEZONE, an all-day event, a floating one, some that must be refused
`calendar.expected.csv`       UID, verdict, offending property
"""

from __future__ import annotations

import csv
import io
import json
import random
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo, reset_tzpath

reset_tzpath(to=[])  # zone rules from the tzdata package, not from the machine

SEED = 20270310
ROWS = 10_000
#: The virtual present of the demo: both a gap (America, Europe) and an overlap (Oceania) lie within four weeks of it.
NOW = datetime(2027, 3, 10, tzinfo=UTC)
DAYS = 27

COLUMNS = ["key", "recipient", "name", "channel", "subject", "body", "local", "zone", "at", "delay", "cron"]
COLUMNS += ["rrule", "starts_at", "ends_at", "count", "priority", "tags", "metadata"]

ZONES = {
    "Europe/Berlin": 22,
    "America/New_York": 18,
    "America/Los_Angeles": 9,
    "Asia/Tokyo": 9,
    "Asia/Kolkata": 9,
    "Australia/Sydney": 7,
    "Pacific/Auckland": 4,
    "America/Sao_Paulo": 6,
    "Africa/Lagos": 5,
    "Asia/Kathmandu": 3,
    "Australia/Lord_Howe": 2,
    "Europe/London": 6,
}
NAMES = ["Zoë", "Ólafur", "José", "Nguyễn", "Σοφία", "Дарья", "さくら", "محمد", "Анна-Мария", "O'Neill", "李雷", "Gül"]
SUBJECTS = [
    "Your appointment is tomorrow",
    "Rechnung fällig, bitte prüfen",
    "Pick-up: order ready, 3 items",
    '"Last call": early-bird price',
    "Напоминание о визите",
    "ご予約の確認",
    "🎉 A week with us",
    "Check-in opens",
]
BODIES = [
    "Please bring your card, your ID, and ten minutes.",
    "Line one\nLine two, after a break\n— thanks",
    "Grüße, wir freuen uns auf Sie.",
    "Tap to confirm; reply STOP to end.",
    "e\u0301 is not é until somebody normalises it",
    "",
]


@dataclass
class Row:
    """One line of the CSV with what must become of it."""

    cells: dict[str, str]
    verdict: str = "accepted"
    field: str = ""
    due_at: str = ""
    raw: list[str] | None = None


def rfc3339(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def due_of(local: datetime, zone: str) -> str:
    """The instant of a local time: the first of two, and moved forward by the gap's length where there is none."""
    return rfc3339(local.replace(tzinfo=ZoneInfo(zone), fold=0))


def base(rng: random.Random, number: int) -> dict[str, str]:
    person = rng.randrange(1, 4000)
    cells = dict.fromkeys(COLUMNS, "")
    cells["key"] = f"A-{number:05d}"
    cells["recipient"] = f"person-{person:04d}"
    cells["name"] = rng.choice(NAMES)
    cells["subject"] = rng.choice(SUBJECTS)
    cells["body"] = rng.choice(BODIES)
    cells["priority"] = rng.choice(["", "", "", "1", "2", "3", "4", "5"])
    cells["tags"] = rng.choice(["", "reminder", "reminder;clinic", "billing", "größe;日本"])
    cells["metadata"] = rng.choice(
        ["", "", json.dumps({"type": "reminder"}), json.dumps({"type": "billing", "vat": 19})]
    )
    return cells


def ordinary(rng: random.Random, number: int) -> Row:
    """A one-off at a civil local hour, some days ahead."""
    cells = base(rng, number)
    zone = rng.choices(list(ZONES), list(ZONES.values()))[0]
    day = date(2027, 3, 11) + timedelta(days=rng.randrange(1, DAYS))
    local = datetime(day.year, day.month, day.day, rng.randrange(7, 21), rng.choice([0, 30]))  # noqa: DTZ001
    match rng.randrange(10):
        case 0:
            instant = NOW + timedelta(hours=rng.randrange(2, 24 * DAYS))
            cells["at"] = rfc3339(instant) if rng.random() < 0.5 else instant.astimezone(ZoneInfo(zone)).isoformat()
            return Row(cells, due_at=rfc3339(instant))
        case 1:
            hours = rng.randrange(1, 48)
            cells["delay"] = f"PT{hours}H"
            return Row(cells, due_at=rfc3339(NOW + timedelta(hours=hours)))
        case 2:
            cells["local"], cells["zone"] = local.strftime("%Y-%m-%d %H:%M"), zone
        case _:
            cells["local"], cells["zone"] = local.isoformat(timespec="minutes"), zone
    return Row(cells, due_at=due_of(local, zone))


TRANSITIONS = [
    # (zone, local time that the change skips or repeats, the instant that it comes to)
    ("America/New_York", "2027-03-14T02:30", "2027-03-14T07:30:00Z"),
    ("America/Los_Angeles", "2027-03-14T02:15", "2027-03-14T10:15:00Z"),
    ("Europe/Berlin", "2027-03-28T02:30", "2027-03-28T01:30:00Z"),
    ("Europe/London", "2027-03-28T01:30", "2027-03-28T01:30:00Z"),
    ("Australia/Sydney", "2027-04-04T02:30", "2027-04-03T15:30:00Z"),
    ("Pacific/Auckland", "2027-04-04T02:30", "2027-04-03T13:30:00Z"),
    ("Australia/Lord_Howe", "2027-04-04T01:45", "2027-04-03T14:45:00Z"),
]


def at_transition(rng: random.Random, number: int) -> Row:
    """A local time inside a gap or an overlap; the instants above were worked out by hand from the zones' rules."""
    cells = base(rng, number)
    cells["zone"], cells["local"], due = rng.choice(TRANSITIONS)
    return Row(cells, due_at=due)


def recurring(rng: random.Random, number: int) -> Row:
    cells = base(rng, number)
    cells["zone"] = rng.choice(list(ZONES))
    kind = rng.randrange(3)
    if kind == 0:
        cells["cron"], cells["ends_at"] = "0 9 * * MON-FRI", "2027-04-09"
        local = datetime(2027, 3, 11, 9)  # noqa: DTZ001
        cells["starts_at"] = "2027-03-11"
    elif kind == 1:
        cells["rrule"], cells["starts_at"], cells["count"] = "FREQ=WEEKLY;BYDAY=TU,TH", "2027-03-11T08:30", "4"
        local = datetime(2027, 3, 11, 8, 30)  # noqa: DTZ001
    else:
        cells["cron"], cells["count"], cells["starts_at"] = "30 2 * * *", "20", "2027-03-12"
        local = datetime(2027, 3, 12, 2, 30)  # noqa: DTZ001
    return Row(cells, due_at=due_of(local, cells["zone"]))


def spoil(rng: random.Random, row: Row, kind: int) -> Row:
    """The same row with one fault, and the field that the verdict must name."""
    cells = row.cells
    for name in ("local", "zone", "at", "delay", "cron", "rrule", "starts_at", "ends_at", "count"):
        cells[name] = ""
    cells["local"], cells["zone"] = "2027-03-20T09:00", "Europe/Berlin"
    faults: list[tuple[str, dict[str, str]]] = [
        ("zone", {"zone": rng.choice(["Europe/Berln", "Mars/Olympus", "EST5PDT9"])}),
        ("local", {"local": rng.choice(["2027-02-30T09:00", "tomorrow-ish", "2027-03-20T25:00", "20.03.2027 9 Uhr"])}),
        ("local", {"local": "2026-01-05T09:00"}),
        ("recipient", {"recipient": ""}),
        ("timing", {"local": "", "zone": ""}),
        ("timing", {"at": "2027-03-20T09:00:00Z"}),
        ("at", {"local": "", "zone": "", "at": "2027-03-20T09:00:00"}),
        ("cron", {"local": "", "cron": rng.choice(["61 9 * * *", "0 9 * *", "every day", "0 9 * * FUNDAY"])}),
        ("cron", {"local": "", "cron": "0 9 30 2 *"}),
        ("priority", {"priority": rng.choice(["9", "0", "high", "2.5"])}),
        ("local", {"local": "2039-03-20T09:00"}),
        ("metadata", {"metadata": '{"type": "reminder"'}),
        ("tags", {"tags": "x" * 65}),
        ("delay", {"local": "", "zone": "", "delay": rng.choice(["P1DT", "-PT5M", "2 days", "PT0S"])}),
        ("body", {"body": "a\x00b"}),
        ("rrule", {"local": "", "rrule": "FREQ=SOMETIMES", "starts_at": "2027-03-20T09:00"}),
        ("ends_at", {"local": "", "cron": "0 9 * * *", "starts_at": "2027-03-20", "ends_at": "2027-03-11"}),
        ("channel", {"channel": rng.choice(["pigeon:coop", "webhook:ftp://example.com/x"])}),
    ]
    name, change = faults[kind % len(faults)]
    cells.update(change)
    return Row(cells, "rejected", name)


def rows() -> list[Row]:
    rng = random.Random(SEED)
    made: list[Row] = []
    spoiled = 0
    for number in range(1, ROWS + 1):
        dice = rng.random()
        if dice < 0.045:
            made.append(spoil(rng, ordinary(rng, number), spoiled))
            spoiled += 1
        elif dice < 0.055 and made:
            made.append(_repeat(rng, made, number))
        elif dice < 0.06:
            row = ordinary(rng, number)
            cut = (
                list(row.cells.values())[: rng.choice([3, 9])] if rng.random() < 0.5 else [*row.cells.values(), "extra"]
            )
            made.append(Row(row.cells, "rejected", "row", raw=cut))
        elif dice < 0.09:
            made.append(at_transition(rng, number))
        elif dice < 0.10:
            made.append(recurring(rng, number))
        else:
            made.append(ordinary(rng, number))
    return made


def _repeat(rng: random.Random, made: list[Row], number: int) -> Row:
    """An earlier accepted row again: word for word, or under the same key with another text. Both are refused."""
    earlier = rng.choice([row for row in made[-500:] if row.verdict == "accepted"] or [ordinary(rng, number)])
    cells = dict(earlier.cells)
    if rng.random() < 0.5:
        cells["body"] = "Changed since."
    return Row(cells, "rejected", "key")


def write_csv(folder: Path) -> None:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    made = rows()
    for row in made:
        writer.writerow(row.raw if row.raw is not None else row.cells.values())
    (folder / "appointments.csv").write_bytes(b"\xef\xbb\xbf" + out.getvalue().encode())
    expected = io.StringIO()
    verdicts = csv.writer(expected, lineterminator="\n")
    verdicts.writerow(["row", "verdict", "field", "due_at"])
    for number, row in enumerate(made, 1):
        verdicts.writerow([number, row.verdict, row.field, row.due_at if row.verdict == "accepted" else ""])
    (folder / "appointments.expected.csv").write_text(expected.getvalue(), encoding="utf-8")


ICS = """\
BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//Horae//Examples//EN
BEGIN:VTIMEZONE
TZID:W. Europe Standard Time
BEGIN:STANDARD
DTSTART:16010101T030000
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=10
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:16010101T020000
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3
END:DAYLIGHT
END:VTIMEZONE
BEGIN:VEVENT
UID:standup@example.com
DTSTAMP:20270301T000000Z
DTSTART;TZID=W. Europe Standard Time:20270315T091500
RRULE:FREQ=WEEKLY;BYDAY=MO,WE,FR;UNTIL=20270409T220000Z
EXDATE;TZID=W. Europe Standard Time:20270326T091500,20270329T091500
SUMMARY:Stand-up
DESCRIPTION:Ten minutes\\, standing\\; bring one thing.
ATTENDEE;CN=Team:mailto:team@example.com
END:VEVENT
BEGIN:VEVENT
UID:review@example.com
DTSTAMP:20270301T000000Z
DTSTART;TZID=America/New_York:20270312T160000
RRULE:FREQ=MONTHLY;BYDAY=-1FR;COUNT=3
SUMMARY:Monthly review
ATTENDEE:mailto:review@example.com
END:VEVENT
BEGIN:VEVENT
UID:call@example.com
DTSTAMP:20270301T000000Z
DTSTART:20270318T140000Z
SUMMARY:Call with a client
ATTENDEE:mailto:sales@example.com
END:VEVENT
BEGIN:VEVENT
UID:floating@example.com
DTSTAMP:20270301T000000Z
DTSTART:20270319T070000
SUMMARY:Wherever you wake
ATTENDEE:mailto:traveller@example.com
END:VEVENT
BEGIN:VEVENT
UID:allday@example.com
DTSTAMP:20270301T000000Z
DTSTART;VALUE=DATE:20270325
SUMMARY:A whole day
ATTENDEE:mailto:team@example.com
END:VEVENT
BEGIN:VEVENT
UID:cancelled@example.com
DTSTAMP:20270301T000000Z
DTSTART:20270320T100000Z
STATUS:CANCELLED
SUMMARY:Called off
ATTENDEE:mailto:team@example.com
END:VEVENT
BEGIN:VEVENT
UID:extra-dates@example.com
DTSTAMP:20270301T000000Z
DTSTART:20270320T100000Z
RDATE:20270321T100000Z,20270325T100000Z
SUMMARY:With extra dates
ATTENDEE:mailto:team@example.com
END:VEVENT
BEGIN:VEVENT
UID:nobody@example.com
DTSTAMP:20270301T000000Z
DTSTART:20270320T100000Z
SUMMARY:For nobody in particular
END:VEVENT
BEGIN:VEVENT
UID:past@example.com
DTSTAMP:20270301T000000Z
DTSTART:20260105T100000Z
SUMMARY:Long ago
ATTENDEE:mailto:team@example.com
END:VEVENT
END:VCALENDAR
"""

ICS_EXPECTED = """\
uid,verdict,property
standup@example.com,accepted,
review@example.com,accepted,
call@example.com,accepted,
floating@example.com,accepted,
allday@example.com,accepted,
cancelled@example.com,rejected,STATUS
extra-dates@example.com,accepted,
nobody@example.com,rejected,ATTENDEE
past@example.com,rejected,DTSTART
"""


def main() -> None:
    folder = Path(__file__).parent
    write_csv(folder)
    (folder / "calendar.ics").write_bytes(ICS.replace("\n", "\r\n").encode())
    (folder / "calendar.expected.csv").write_text(ICS_EXPECTED, encoding="utf-8")


if __name__ == "__main__":
    main()
