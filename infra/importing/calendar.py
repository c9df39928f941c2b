"""iCalendar events (RFC 5545 VEVENT) to items.

Taken: DTSTART (instant, local time with TZID, floating, all-day), RRULE, EXDATE, SUMMARY, DESCRIPTION, LOCATION, URL,
CATEGORIES, PRIORITY, ATTENDEE. Zones named as Windows does are mapped to IANA's; a VTIMEZONE's own rules are not used,
its name is. What cannot be held is refused, never bent: RDATE, RECURRENCE-ID, STATUS:CANCELLED, no ATTENDEE.
An event with several attendees becomes one item for each.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from hashlib import blake2b
from typing import Any, cast

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
}

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
    for row, event in enumerate(events, 1):
        uid = str(event.get("UID", f"event {row}"))
        try:
            yield from _items(row, uid, event, channel, all_day_at)
        except _EventError as error:
            yield Reject(row, row, error.field, error.reason, error.hint, uid)


def _items(row: int, uid: str, event: icalendar.Component, channel: str, all_day_at: time) -> Iterator[Item]:
    _refuse_unheld(event)
    timing, zone = _timing(event, all_day_at)
    skips = tuple(_exdates(event, zone, all_day_at))
    attendees = _attendees(event)
    content = {
        name: str(event[prop])
        for name, prop in (("subject", "SUMMARY"), ("body", "DESCRIPTION"), ("location", "LOCATION"), ("url", "URL"))
        if prop in event
    }
    for person in attendees:
        body: dict[str, Any] = {"recipient": person, "channel": channel, "content": content, "timing": timing}
        body["metadata"] = {"type": "calendar", "uid": uid}
        if "CATEGORIES" in event:
            body["tags"] = [str(name) for name in _listed(event["CATEGORIES"]) for name in name.cats]
        name = uid if len(attendees) == 1 else f"{uid}:{person}"
        yield Item(row, row, f"import:ics:{_short(name)}", body, skips, label=uid, names=_NAMES)


def _short(name: str) -> str:
    # An Idempotency-Key has its own limit; cut off, two people's would be one.
    return (
        name if len(name) <= _NAME_LIMIT else blake2b(name.encode(errors="surrogatepass"), digest_size=16).hexdigest()
    )


def _refuse_unheld(event: icalendar.Component) -> None:
    if str(event.get("STATUS", "")).upper() == "CANCELLED":
        raise _EventError("STATUS", "The event is cancelled.", "Nothing is to be sent.")
    if "RECURRENCE-ID" in event:
        raise _EventError("RECURRENCE-ID", "It changes one date of another event.", "Change that schedule's slot.")
    if "RDATE" in event:
        raise _EventError("RDATE", "Extra dates beside a rule cannot be held.", "Make an event of each.")
    if "DTSTART" not in event:
        raise _EventError("DTSTART", "The event has no start.", "Add a DTSTART.")


def _attendees(event: icalendar.Component) -> list[str]:
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
    if name not in zones.zone_names():
        raise _EventError("DTSTART", f"The zone {name!r} is unknown.", "Use an IANA name such as Europe/Berlin.")
    return name


def _timing(event: icalendar.Component, all_day_at: time) -> tuple[dict[str, Any], str]:
    start: Any = event["DTSTART"]
    value = start.dt
    if not isinstance(value, datetime):
        local, zone = datetime.combine(value, all_day_at), "recipient"
    elif value.tzinfo is not None and not start.params.get("TZID"):
        local, zone = value.astimezone(UTC).replace(tzinfo=None), "UTC"
    else:
        local, zone = value.replace(tzinfo=None), _zone(start)
    if "RRULE" not in event:
        if zone == "UTC":
            return {"kind": "at", "at": local.isoformat() + "Z"}, zone
        return {"kind": "at", "local": local.isoformat(), "zone": zone}, zone
    rules = _listed(event["RRULE"])
    if len(rules) > 1:
        raise _EventError("RRULE", "Several rules in one event cannot be held.", "Make an event of each.")
    rrule = rules[0].to_ical().decode()
    return {"kind": "every", "rrule": rrule, "starts_at": local.isoformat(), "zone": zone}, zone


def _exdates(event: icalendar.Component, zone: str, all_day_at: time) -> Iterator[str]:
    for dates in _listed(event.get("EXDATE", [])):
        for entry in dates.dts:
            value = cast(date, entry.dt)
            if not isinstance(value, datetime):
                yield datetime.combine(value, all_day_at).isoformat()
            elif value.utcoffset() is not None and zone not in ("UTC", "recipient"):
                yield zones.to_local(value.astimezone(UTC).replace(tzinfo=None), zone)[0].isoformat()
            else:
                yield value.replace(tzinfo=None).isoformat()
