"""iCalendar events (RFC 5545 VEVENT) to items.

Taken: DTSTART (instant, local time with TZID, floating, all-day), RRULE, RDATE, EXDATE, RECURRENCE-ID, SUMMARY,
DESCRIPTION, LOCATION, URL, CATEGORIES, PRIORITY, ATTENDEE, and X-HORAE-RECIPIENT of our own feeds. Zones named as
Windows does are mapped to IANA's, and names that end in one are taken for it; a VTIMEZONE's own rules are not used, its
name is. An event that changes one date of another becomes a schedule of its own, and the other leaves that date out.
What cannot be held is refused, never bent. An event with several attendees becomes one item for each.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from hashlib import blake2b
from typing import Any
from urllib.parse import unquote

import icalendar
from icalendar.timezone.windows_to_olson import WINDOWS_TO_OLSON

from horae.domain.timing import zones
from horae.infra.importing.items import ImportFileError, Item, Reject

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
    except ValueError as error:
        raise ImportFileError(f"The file is no iCalendar: {error}.") from None
    events = [event for calendar in calendars for event in calendar.walk("VEVENT")]
    if not events:
        raise ImportFileError("The file holds no VEVENT, so there is nothing to import.")
    changed: dict[str, list[Any]] = {}
    for event in events:
        if "RECURRENCE-ID" in event:
            changed.setdefault(str(event.get("UID")), []).append(event["RECURRENCE-ID"])
    for row, event in enumerate(events, 1):
        uid = str(event.get("UID", f"event {row}"))
        try:
            yield from _items(row, uid, event, changed.get(uid, []), channel, all_day_at)
        except _EventError as error:
            yield Reject(row, row, error.field, error.reason, error.hint, uid)


def _items(row: int, uid: str, event: Any, changed: list[Any], channel: str, all_day_at: time) -> Iterator[Item]:
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
    timing, zone = _timing(event, all_day_at)
    out = [*_times(event, "EXDATE", zone, all_day_at), *(_local(each, each.dt, zone, all_day_at) for each in changed)]
    rules = [rule.to_ical().decode() for rule in _listed(event.get("RRULE", []))]
    more = list(_times(event, "RDATE", zone, all_day_at))
    skips: tuple[str, ...] = ()
    if len(rules) > 1 or more:
        timing = _set(event, rules, more, out, zone, all_day_at)
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
        body["metadata"] = {"type": "calendar", "uid": uid}
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


def _set(
    event: Any,
    rules: list[str],
    more: list[datetime],
    out: list[datetime],
    zone: str,
    all_day_at: time,
) -> dict[str, Any]:
    """Several rules, or dates beside one, as the lines of one timing; without a rule the start is a date, too."""
    start = _start(event, all_day_at)[0]
    lines = [f"RRULE:{rule}" for rule in rules]
    dates = more if rules else [start, *more]
    lines += [f"{name}:{_written(times)}" for name, times in (("RDATE", dates), ("EXDATE", out)) if times]
    return {"kind": "every", "rrule": "\n".join(lines), "starts_at": start.isoformat(), "zone": zone}


def _written(times: list[datetime]) -> str:
    return ",".join(f"{at:%Y%m%dT%H%M%S}" for at in times)


def _short(name: str) -> str:
    # An Idempotency-Key has its own limit; cut off, two people's would be one.
    return (
        name if len(name) <= _NAME_LIMIT else blake2b(name.encode(errors="surrogatepass"), digest_size=16).hexdigest()
    )


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


def _zone(start: Any) -> str:
    name = str(start.params.get("TZID", ""))
    if not name:
        return "recipient"
    name = WINDOWS_TO_OLSON.get(name, name)
    parts = name.split("/")
    # Some programs write a name of their own in front: /example.com/20260101_1/Europe/Berlin
    for known in ("/".join(parts[i:]) for i in range(len(parts))):
        if known in zones.zone_names():
            return known
    raise _EventError("DTSTART", f"The zone {name!r} is unknown.", "Use an IANA name such as Europe/Berlin.")


def _start(event: Any, all_day_at: time) -> tuple[datetime, str]:
    """The local time at which an event begins, and of which zone."""
    start: Any = event["DTSTART"]
    value = start.dt
    if not isinstance(value, datetime):
        return datetime.combine(value, all_day_at), "recipient"
    if value.tzinfo is not None and not start.params.get("TZID"):
        return value.astimezone(UTC).replace(tzinfo=None), "UTC"
    return value.replace(tzinfo=None), _zone(start)


def _timing(event: Any, all_day_at: time) -> tuple[dict[str, Any], str]:
    local, zone = _start(event, all_day_at)
    if "RRULE" not in event:
        if zone == "UTC":
            return {"kind": "at", "at": local.isoformat() + "Z"}, zone
        return {"kind": "at", "local": local.isoformat(), "zone": zone}, zone
    rrule = _listed(event["RRULE"])[0].to_ical().decode()
    return {"kind": "every", "rrule": rrule, "starts_at": local.isoformat(), "zone": zone}, zone


def _times(event: Any, name: str, zone: str, all_day_at: time) -> Iterator[datetime]:
    for dates in _listed(event.get(name, [])):
        for entry in dates.dts:
            value: Any = entry.dt
            yield _local(
                dates, value[0] if isinstance(value, tuple) else value, zone, all_day_at
            )  # of a period the start


def _local(prop: Any, value: date, zone: str, all_day_at: time) -> datetime:
    """A date or time of a property on the clock of the zone that its event's start is told in."""
    if not isinstance(value, datetime):
        return datetime.combine(value, all_day_at)
    if prop.params.get("TZID") and _zone(prop) == zone:
        return value.replace(tzinfo=None)  # as it was written: in a gap it has no instant of its own
    if value.utcoffset() is not None and zone == "UTC":
        return value.astimezone(UTC).replace(tzinfo=None)
    if value.utcoffset() is not None and zone != "recipient":
        return zones.to_local(value.astimezone(UTC).replace(tzinfo=None), zone)[0]
    return value.replace(tzinfo=None)
