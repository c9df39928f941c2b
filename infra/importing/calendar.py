"""iCalendar events (RFC 5545 VEVENT) to items.

Taken: DTSTART (instant, local time with TZID, floating, all-day), RRULE, RDATE, EXDATE, RECURRENCE-ID, SUMMARY,
DESCRIPTION, LOCATION, URL, CATEGORIES, PRIORITY, ATTENDEE, and X-HORAE-RECIPIENT of our own feeds. Which zone a TZID
means is found in `zones`. An event that changes one date of another becomes a schedule of its own, and the other leaves
that date out.
What cannot be held is refused, never bent: an event for itself, by the property that is at fault. The library tells
of a broken property only where it is used, so those that are read here are looked at first.
An event with several attendees becomes one item for each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from functools import cached_property
from hashlib import blake2b
from typing import Any
from urllib.parse import unquote

import icalendar

from horae.commands.importing import ImportFileError, Item, Reject
from horae.domain import errors
from horae.domain.timing import ruleset, zones
from horae.infra.importing.zones import FileZones, Stretch, UnknownZoneError

_NAMES = {
    **dict.fromkeys(("at", "local", "starts_at", "zone"), "DTSTART"),
    "rrule": "RRULE",
    "recipient": "ATTENDEE",
    "subject": "SUMMARY",
    "body": "DESCRIPTION",
    "tags": "CATEGORIES",
    "priority": "PRIORITY",
}

#: Whose it is, in our own feeds; percent-encoded.
RECIPIENT = "X-HORAE-RECIPIENT"

#: Of these an event has one at most (RFC 5545, §3.6.1); of two nobody knows which is meant.
_TEXTS = ("SUMMARY", "DESCRIPTION", "LOCATION", "URL", "STATUS", "PRIORITY")
_ONCE = ("UID", "RECURRENCE-ID", "DTSTART", *_TEXTS, RECIPIENT)
#: What the library raises for a value that is not what it says.
_UNREADABLE = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, errors.Invalid)
#: Characters of a value that a refusal repeats.
_SHOWN = 80
#: Of an unknown zone's event so many times are counted; with more it is taken as going on.
_MOST_COUNTED = 1_000
#: Of an Idempotency-Key's 255 characters, what is left behind `import:ics:`.
_NAME_LIMIT = 244


class _EventError(Exception):
    def __init__(self, field: str, reason: str, hint: str) -> None:
        super().__init__(reason)
        self.field, self.reason, self.hint = field, reason, hint


def read_calendar(text: str, *, channel: str, all_day_at: time = time(9)) -> Iterator[Item | Reject]:
    """Every VEVENT, in order, as items or a reject; all-day events are due at `all_day_at`, the recipient's time.

    Raises `ImportFileError` when the text is no iCalendar.
    """
    try:
        calendars = icalendar.Calendar.from_ical(text, multiple=True)
    except _UNREADABLE as error:
        raise ImportFileError(f"The file is no iCalendar: {error}.") from None
    events = []
    for calendar in calendars:
        of_file = FileZones(calendar.walk("VTIMEZONE"))
        events += [(event, of_file) for event in calendar.walk("VEVENT")]
    if not events:
        raise ImportFileError("The file holds no VEVENT, so there is nothing to import.")
    changed: dict[str, list[Any]] = {}
    for event, _ in events:
        if "RECURRENCE-ID" in event and _readable(_moment(event["RECURRENCE-ID"])):
            changed.setdefault(str(event.get("UID")), []).append(event["RECURRENCE-ID"])
    for row, (event, of_file) in enumerate(events, 1):
        uid = str(_listed(event.get("UID", f"event {row}"))[0])
        try:
            _refuse_unreadable(event)
            clocks = _Clocks(event, of_file, all_day_at)
            yield from _items(row, uid, event, clocks, changed.get(uid, []), channel)
        except _EventError as error:
            yield Reject(row, row, error.field, error.reason, error.hint, uid)
        except _UNREADABLE as error:
            yield Reject(row, row, "VEVENT", f"It cannot be read: {str(error)[:_SHOWN]}.", "Look at its times.", uid)


def _items(row: int, uid: str, event: Any, clocks: _Clocks, changed: list[Any], channel: str) -> Iterator[Item]:
    """`changed`: the dates of the event that other events of its UID change."""
    name = uid
    if "RECURRENCE-ID" in event:
        at = event["RECURRENCE-ID"]
        if str(at.params.get("RANGE", "")).upper() == "THISANDFUTURE":
            raise _EventError("RECURRENCE-ID", "It changes all dates from one on.", "End the rule there, add another.")
        if str(event.get("STATUS", "")).upper() == "CANCELLED":
            return  # the date is left out of its series
        name, changed = f"{uid}:{at.dt.isoformat()}", []
    _refuse_unheld(event)
    start, zone = clocks.start
    timing = _timing(event, start, zone)
    out = [*clocks.times("EXDATE"), *(clocks.local("RECURRENCE-ID", each, each.dt) for each in changed)]
    rules, more = _rules(event), list(clocks.times("RDATE"))
    left = _less_start(rules, start, zone)
    if left is not None and (rules or more):
        rules, more = left, [start, *more]
    skips: tuple[str, ...] = ()
    if len(rules) > 1 or more:
        timing = _set(rules, more, out, start, zone)
    elif rules:
        skips = tuple(dict.fromkeys(at.isoformat() for at in out))
    attendees, priority = _attendees(event), _priority(event)
    content = {
        name: str(event[prop])
        for name, prop in (("subject", "SUMMARY"), ("body", "DESCRIPTION"), ("location", "LOCATION"), ("url", "URL"))
        if prop in event
    }
    for person in attendees:
        body: dict[str, Any] = {"recipient": person, "channel": channel, "content": content, "timing": timing}
        body["metadata"] = {"type": "calendar", "uid": uid} | clocks.told(zone)
        if priority is not None:
            body["priority"] = priority
        if "CATEGORIES" in event:
            body["tags"] = [str(name) for name in _listed(event["CATEGORIES"]) for name in name.cats]
        own = name if len(attendees) == 1 else f"{name}:{person}"
        yield Item(row, row, f"import:ics:{_short(own)}", body, skips, label=uid, names=_NAMES)


def _priority(event: Any) -> int | None:
    """Ours, 1 to 5; RFC 5545 counts down from 1, the highest, to 9, and 0 says nothing."""
    text = str(event.get("PRIORITY", 0))
    return 5 - (int(text) - 1) // 2 if text.isascii() and text.isdigit() and 1 <= int(text) <= 9 else None


def _less_start(rules: list[str], start: datetime, zone: str) -> list[str] | None:
    """What is left to the rules where DTSTART is none of theirs, and so a date beside them; None where it is one's.

    It is the first of an event's times, named or not, and the first that a COUNT counts (RFC 5545, §3.3.10).
    """
    left = []
    for text in rules:
        try:
            (rule,) = ruleset.parse(text).rules
        except errors.Invalid:
            return None  # it is refused, with the reason, where the schedule is asked for
        if not ruleset.leaves_out_start(rule, start, "UTC" if zone == "recipient" else zone):
            return None
        if rule.count != 1:
            left.append(re.sub(r"\bCOUNT=\d+", f"COUNT={(rule.count or 0) - 1}", text))
    return left


def _set(rules: list[str], more: list[datetime], out: list[datetime], start: datetime, zone: str) -> dict[str, Any]:
    """Several rules, or dates beside one, as the lines of one timing."""
    lines = [f"RRULE:{rule}" for rule in rules]
    lines += [f"{name}:{_written(times)}" for name, times in (("RDATE", more), ("EXDATE", out)) if times]
    return {"kind": "every", "rrule": "\n".join(lines), "starts_at": start.isoformat(), "zone": zone}


def _written(times: list[datetime]) -> str:
    return ",".join(f"{at:%Y%m%dT%H%M%S}" for at in times)


def _short(name: str) -> str:
    # An Idempotency-Key has its own limit; cut off, two people's would be one.
    return (
        name if len(name) <= _NAME_LIMIT else blake2b(name.encode(errors="surrogatepass"), digest_size=16).hexdigest()
    )


def _refuse_unreadable(event: Any) -> None:
    for name in _ONCE:
        found = event.get(name)
        if isinstance(found, list):
            told = " and ".join(repr(_told(each)) for each in found[:2])
            raise _EventError(name, f"The event has {len(found)} {name}: {told}.", "Keep one of them.")
    for name in ("DTSTART", "RECURRENCE-ID"):
        if name in event and not _readable(_moment(event[name])):
            raise _unreadable(name, event[name], "a date or a time of the years 2 to 9998")
    for name in ("RDATE", "EXDATE"):
        for dates in _listed(event.get(name, [])):
            if isinstance(dates, icalendar.vBroken) or not all(_readable(_begin(each.dt)) for each in dates.dts):
                raise _unreadable(name, dates, "dates or times of the years 2 to 9998")
    for names in _listed(event.get("CATEGORIES", [])):
        if isinstance(names, icalendar.vBroken):
            raise _unreadable("CATEGORIES", names, "words")


def _unreadable(name: str, value: Any, what: str) -> _EventError:
    return _EventError(name, f"{_told(value)!r} cannot be read as {what}.", "Write 20270104T090000Z, or 20270104.")


def _readable(value: Any) -> bool:
    """Whether it is a date or a time, of a year in which it is one in any zone."""
    return isinstance(value, date) and date.min.year < value.year < date.max.year


def _told(value: Any) -> str:
    """A property's value as the file has it."""
    text = value.to_ical()
    return (text.decode(errors="replace") if isinstance(text, bytes) else str(text))[:_SHOWN]


def _moment(prop: Any) -> Any:
    """What a property of one time says; None where it says nothing."""
    return None if isinstance(prop, icalendar.vBroken | list) else prop.dt


def _begin(value: Any) -> Any:
    """Of a period where it begins."""
    return value[0] if isinstance(value, tuple) else value


def _refuse_unheld(event: Any) -> None:
    if str(event.get("STATUS", "")).upper() == "CANCELLED":
        raise _EventError("STATUS", "The event is cancelled.", "Nothing is to be sent.")
    if "EXRULE" in event:
        raise _EventError("EXRULE", "RFC 5545 has no EXRULE any more.", "Name the dates that are left out by EXDATE.")
    if "DTSTART" not in event:
        raise _EventError("DTSTART", "The event has no start.", "Add a DTSTART.")


def _attendees(event: Any) -> list[str]:
    if RECIPIENT in event:
        return [unquote(str(event[RECIPIENT]))]
    people = [str(person) for person in _listed(event.get("ATTENDEE", []))]
    if not people:
        raise _EventError("ATTENDEE", "The event names nobody to send to.", "Add an ATTENDEE.")
    return [person[7:] if person.lower().startswith("mailto:") else person for person in people]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _timing(event: Any, start: datetime, zone: str) -> dict[str, Any]:
    if "RRULE" in event:
        return {"kind": "every", "rrule": _rules(event)[0], "starts_at": start.isoformat(), "zone": zone}
    if zone == "UTC":
        return {"kind": "at", "at": start.isoformat() + "Z"}
    return {"kind": "at", "local": start.isoformat(), "zone": zone}


def _rules(event: Any) -> list[str]:
    return [rule.to_ical().decode() for rule in _listed(event.get("RRULE", []))]


class _Clocks:
    """On which clock an event's times are told: that of its DTSTART."""

    def __init__(self, event: Any, of_file: FileZones, all_day_at: time) -> None:
        self._event, self._of_file, self._all_day_at = event, of_file, all_day_at

    @cached_property
    def start(self) -> tuple[datetime, str]:
        """The local time at which the event begins, and of which zone. Raises `_EventError`."""
        start: Any = self._event["DTSTART"]
        value = start.dt
        if not isinstance(value, datetime):
            return datetime.combine(value, self._all_day_at), "recipient"
        if value.tzinfo is not None and not start.params.get("TZID"):
            return value.astimezone(UTC).replace(tzinfo=None), "UTC"
        return value.replace(tzinfo=None), self._zone("DTSTART", start)

    def times(self, name: str) -> Iterator[datetime]:
        """The dates and times of RDATE or EXDATE; of a period the start."""
        for dates in _listed(self._event.get(name, [])):
            for entry in dates.dts:
                yield self.local(name, dates, _begin(entry.dt))

    def local(self, name: str, prop: Any, value: date) -> datetime:
        """A date or time of a property on the event's clock; a date among times has that of the start.

        Raises `_EventError`.
        """
        start, zone = self.start
        if not isinstance(value, datetime):
            return datetime.combine(value, start.time())
        local = value.replace(tzinfo=None)
        own = self._zone(name, prop) if prop.params.get("TZID") else "UTC" if value.tzinfo is not None else zone
        # As it was written where it can be: in a gap it has no instant of its own.
        if own == zone or zone == "recipient":
            return local
        return zones.to_local(zones.to_utc(local, 0, own), zone)[0]

    def told(self, zone: str) -> dict[str, str]:
        """The name that the file has for the zone, where that is another one."""
        tzid = str(self._event["DTSTART"].params.get("TZID", zone))
        return {} if zone in (tzid, "UTC", "recipient") else {"tzid": tzid}

    def _zone(self, name: str, prop: Any) -> str:
        tzid = str(prop.params.get("TZID", ""))
        if not tzid:
            return "recipient"
        try:
            return self._of_file.named(tzid, lambda: _stretch(self._event))
        except UnknownZoneError as error:
            raise _EventError(name, error.reason, error.hint) from None


def _stretch(event: Any) -> Stretch:
    """The event's own time, by its own clock: up to its last UNTIL, or the last of as many as COUNT says."""
    begin = event["DTSTART"].dt
    begin = begin.replace(tzinfo=None) if isinstance(begin, datetime) else datetime.combine(begin, time())
    try:
        written = getattr(event.get("DTSTAMP"), "dt", None)
    except ValueError:  # it is broken, and only helps
        written = None
    last: datetime | None = begin
    for text in _rules(event):
        try:
            (rule,) = ruleset.parse(text).rules
        except errors.Invalid:
            continue  # it is refused, with the reason, where the schedule is asked for
        # A file may bring thousands, and each is counted through.
        ends = ruleset.last_of(rule, begin) if (rule.count or 0) <= _MOST_COUNTED else None
        last = max(last, ends) if last is not None and ends is not None else None
    return Stretch(begin, last, written.year if isinstance(written, date) else None)
