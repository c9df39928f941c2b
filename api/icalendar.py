"""Schedules as an iCalendar file (RFC 5545, with RFC 7986's names) that calendar programs subscribe to.

Place in the flow: read models, log -> *here* -> bytes. A series is one recurring event where iCalendar can hold it,
with one more in place of each slot that was changed by itself; else an event for each slot of the window, at its
instant. The same schedules on the same day give the same bytes: nothing in here looks at a clock. Escaping and folding
are the `icalendar` library's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import UUID

from pydantic import TypeAdapter

from horae import __version__
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.ids import occurrence_id
from horae.domain.timing.calendared import calendar_id
from horae.domain.timing.ical import Held, held
from horae.domain.timing.observances import observances
from horae.domain.timing.opendays import Calendar as OpenDays
from horae.domain.timing.publicdays import holidays_version
from horae.domain.timing.zones import tzdata_version
from horae.projections.queries import ScheduleRow

if TYPE_CHECKING:
    from icalendar import Component

MEDIA_TYPE = "text/calendar; charset=utf-8"
#: Schedules in one file, soonest first.
MAX_SCHEDULES = 1_000
#: Slots of one series in one file.
MAX_SLOTS = 366
#: Events in one file.
MAX_EVENTS = 10_000
#: So far back and ahead slots are told one by one; a day's file begins at its midnight, so that it stays the same.
BACK, AHEAD = timedelta(days=31), timedelta(days=366)
_END = b"END:VCALENDAR\r\n"
_TEXT_LIMIT = 2_000
_URL = re.compile(r"https?://[!-~]+")
#: Whose it is, percent-encoded; `horae import` reads it.
RECIPIENT = "X-HORAE-RECIPIENT"
_REFRESH = timedelta(hours=1)
#: RFC 5545 counts from 1, the highest, to 9.
_PRIORITIES = {5: 1, 4: 3, 3: 5, 2: 7, 1: 9}
_TIMING: TypeAdapter[t.Timing] = TypeAdapter(t.Timing)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a file is made of. `today`: UTC midnight (aware) of the day for which it is made."""

    title: str
    today: datetime
    schedules: Sequence[ScheduleRow]
    #: Those that the schedules' timings keep to, by id.
    calendars: Mapping[str, OpenDays]
    #: From the log, those that carry something else at some of their slots, by id.
    states: Mapping[UUID, s.Schedule] = field(default_factory=dict)
    #: There are more schedules than these.
    truncated: bool = False
    #: Slots of a series that is told slot by slot.
    slots: int = MAX_SLOTS

    @property
    def etag(self) -> str:
        """Of everything that the bytes depend on, without making them."""
        digest = sha256()
        for part in (__version__, tzdata_version(), holidays_version(), self.title, self.today, self.truncated):
            digest.update(f"{part}\n".encode())
        for row in self.schedules:
            zone = row.next.plan.zone if row.next else None
            digest.update(f"{row.id} {row.version} {zone} {row.skipped}\n".encode())
            state = self.states.get(row.id)
            if state is not None:
                # What firing has come to tells what of it is past, and the log may be ahead of the row.
                digest.update(f"{state.version} {row.next.slot if row.next else None}\n".encode())
        for name, calendar in sorted(self.calendars.items()):
            digest.update(f"{name} {calendar.label}\n".encode())
        return f'"{digest.hexdigest()[:32]}"'


def timing_of(row: ScheduleRow) -> t.Timing:
    """A schedule's timing, as it was normalised."""
    return _TIMING.validate_json(row.timing)


def render(shown: Shown) -> bytes:
    """The file. Takes as long as its slots take to find: run it beside the loop."""
    from icalendar import Calendar, vText  # a third of a second, and only feeds need it

    file = Calendar()
    file.add("prodid", f"-//Horae//Horae {__version__}//EN")
    file.add("version", "2.0")
    file.add("method", "PUBLISH")
    title = vText(_printable(shown.title))
    file.add("name", title)
    file.add("x-wr-calname", title)
    file.add("refresh-interval", _REFRESH, parameters={"VALUE": "DURATION"})
    file.add("x-published-ttl", "PT1H")
    zones: dict[str, int] = {}
    events: list[bytes] = []
    cut = shown.truncated
    for row in shown.schedules:
        for group in _groups(row, shown, zones):
            if len(events) + len(group) <= MAX_EVENTS:
                events += group
            else:
                cut = True
    if cut:
        file.add("x-horae-truncated", "TRUE")
    for zone, year in sorted(zones.items()):
        file.add_component(_timezone(zone, year, shown.today.year))
    return b"".join((file.to_ical().removesuffix(_END), *events, _END))


def _groups(row: ScheduleRow, shown: Shown, zones: dict[str, int]) -> Iterator[tuple[bytes, ...]]:
    """Its events, each as its lines; those of a group stand or fall together."""
    state = shown.states.get(row.id)
    if row.next is None:
        # What is left of a series that has ended: slots that were moved by themselves.
        yield from ((each,) for each in _apart(row, state, _moved(row), shown))
        return
    timing, zone = timing_of(row), row.next.plan.zone
    if isinstance(timing, t.Every):
        yield from _series(row, state, timing, zone, shown, zones)
        return
    event = _event(row)
    if zone == "UTC" or row.next.slot.fold or (isinstance(timing, t.At) and timing.at is not None):
        event.add("dtstart", _whole(row.next.due_at))
    else:
        _at_local(event, row.next.slot.local, zone, zones)
    yield (event.to_ical(),)


def _series(
    row: ScheduleRow, state: s.Schedule | None, timing: t.Every, zone: str, shown: Shown, zones: dict[str, int]
) -> Iterator[tuple[bytes, ...]]:
    """One recurring event with those that stand in place of its changed slots; or an event for each slot."""
    ctx = _context(row, timing, zone, shown)
    moved = _moved(row)
    of_rule = [slot for slot, *_ in row.changes if t.find(timing, slot, ctx) is not None]
    usual = _told(row, state, None)
    changed = [slot for slot in of_rule if slot in moved or _told(row, state, slot) != usual]
    alike = state is None or all(_told(row, state, later.since, series=True) == usual for later in state.later)
    series = held(timing, zone, row.skipped, changed) if alike else None
    if series is None:
        yield from ((each,) for each in _one_by_one(row, state, timing, ctx, shown))
    else:
        event = _event(usual)
        _recur(event, series, zones)
        instead = (
            _in_place(_told(row, state, slot), series, local, moved.get(slot))
            for slot, local in zip(changed, series.changed, strict=True)
        )
        yield (event.to_ical(), *instead)
    # Moved, and then the rule was changed into one that does not have them: they go out all the same.
    yield from ((each,) for each in _apart(row, state, {k: v for k, v in moved.items() if k not in of_rule}, shown))


def _told(row: ScheduleRow, state: s.Schedule | None, slot: t.Slot | None, *, series: bool = False) -> ScheduleRow:
    """The row with what a slot carries, or (with `series`) what its series does; None: what the series does now."""
    if state is None:
        return row
    if slot is None or series:
        at = slot or (row.next.slot if row.next is not None else None)
        seen = state.as_series(at) if at is not None else state
    else:
        seen = state.seen_from(slot)
    content, tags = json.dumps(seen.personal.content), seen.personal.tags
    return replace(row, content=content, tags=tags, priority=seen.definition.priority)


def _in_place(row: ScheduleRow, series: Held, local: datetime, moved_to: datetime | None) -> bytes:
    """The event that stands in place of the series' own at `local`: at another instant, or with other content."""
    event = _event(row)
    for name, at in (("recurrence-id", local), ("dtstart", local if moved_to is None else None)):
        if at is not None:
            event.add(name, _local_value(at, series.zone))
    if moved_to is not None:
        event.add("dtstart", _whole(moved_to))
    lines: bytes = event.to_ical()
    return lines


def _apart(
    row: ScheduleRow, state: s.Schedule | None, moved: Mapping[t.Slot, datetime], shown: Shown
) -> Iterator[bytes]:
    """Moved slots to come as events of their own."""
    for slot, due_at in moved.items():
        if shown.today <= due_at <= shown.today + AHEAD:
            yield _alone(_lines(_told(row, state, slot)), row, slot, due_at)


def _one_by_one(
    row: ScheduleRow, state: s.Schedule | None, timing: t.Every, ctx: t.Context, shown: Shown
) -> Iterator[bytes]:
    """Most differ in start and UID only: the lines of one serve for all of these, far faster than writing each."""
    written: dict[tuple[str, tuple[str, ...], int], bytes] = {}
    for at in _slots(row, timing, ctx, shown):
        told = _told(row, state, at.slot)
        key = (told.content, told.tags, told.priority)
        if key not in written:
            written[key] = _lines(told)
        yield _alone(written[key], row, at.slot, at.due_at)


def _lines(row: ScheduleRow) -> bytes:
    event = _event(row)
    event.add("dtstart", _whole(row.created_at))
    lines: bytes = event.to_ical()
    return lines


def _alone(lines: bytes, row: ScheduleRow, slot: t.Slot, due_at: datetime) -> bytes:
    """An event by its lines, with the UID and the start of a slot."""
    # A line break in a text is written as two characters, so that these are the event's own lines.
    uid, start = (re.search(rb"\r\n%s:[^\r]*" % name, lines) for name in (b"UID", b"DTSTART"))
    assert uid is not None
    assert start is not None
    name = f"\r\nUID:{occurrence_id(row.id, slot.local, slot.fold)}@horae"
    instant = f"\r\nDTSTART:{_whole(due_at):%Y%m%dT%H%M%SZ}"
    return lines.replace(uid[0], name.encode()).replace(start[0], instant.encode())


def _moved(row: ScheduleRow) -> dict[t.Slot, datetime]:
    """The slots that were moved by themselves, and where to."""
    return {slot: at for slot, at, _, _ in row.changes if at is not None}


def _context(row: ScheduleRow, timing: t.Every, zone: str, shown: Shown) -> t.Context:
    return t.Context(
        now=shown.today,
        schedule_id=row.id,
        default_zone=zone,
        recipient_zone=zone,
        exceptions=frozenset((*row.skipped, *_moved(row))),
        calendar=shown.calendars.get(calendar_id(timing) or "default"),
    )


def _slots(row: ScheduleRow, timing: t.Every, ctx: t.Context, shown: Shown) -> Iterator[t.Next]:
    for slot, due_at in _moved(row).items():
        if shown.today - BACK < due_at <= shown.today + AHEAD and (own := t.find(timing, slot, ctx)) is not None:
            yield own.model_copy(update={"due_at": due_at})
    at = t.after(timing, shown.today - BACK, ctx)
    for _ in range(shown.slots):
        if at is None or at.due_at > shown.today + AHEAD:
            return
        yield at
        at = t.following(timing, at, ctx)


def _recur(event: Component, series: Held, zones: dict[str, int]) -> None:
    from icalendar import vRecur

    _at_local(event, series.start, series.zone, zones)
    event.add("rrule", vRecur.from_ical(";".join(f"{name}={value}" for name, value in series.rule.items())))
    for name, times in (("RDATE", series.dates), ("EXDATE", series.excluded)):
        if times:
            _dates(event, name, times, series.zone)


def _event(row: ScheduleRow) -> Component:
    """Everything but when."""
    from icalendar import Event

    content = _content(row)
    event = Event()
    event.add("uid", f"{row.id}@horae")
    event.add("dtstamp", _whole(row.updated_at))
    event.add("created", _whole(row.created_at))
    event.add("last-modified", _whole(row.updated_at))
    event.add("sequence", row.version - 1)
    event.add("summary", content.pop("summary", None) or _printable(f"To {row.recipient}"))
    for name, text in content.items():
        event.add(name, text)
    event.add("priority", _PRIORITIES[row.priority])
    if row.tags:
        event.add("categories", [_printable(tag) for tag in row.tags])
    event.add("status", "CONFIRMED")
    event.add("transp", "TRANSPARENT")
    # Not an ATTENDEE: programs would take it for an invitation. Encoded, for readers differ over what X- means.
    event.add(RECIPIENT, quote(row.recipient, safe="@"))
    event.add("x-horae-schedule", str(row.id))
    return event


def _content(row: ScheduleRow) -> dict[str, str]:
    content: Any = json.loads(row.content)
    found: dict[str, str] = {}
    for prop, names in (
        ("summary", ("subject", "title")),
        ("description", ("body", "text")),
        ("location", ("location",)),
    ):
        text = next((content[name] for name in names if isinstance(content.get(name), str)), None)
        if text:
            found[prop] = _printable(text)[:_TEXT_LIMIT]
    url = content.get("url")
    if isinstance(url, str) and len(url) <= _TEXT_LIMIT and _URL.fullmatch(url):
        found["url"] = url
    return found


def _printable(text: str) -> str:
    """Without the control characters that RFC 5545 has no way to write."""
    return "".join(char for char in text if char in "\t\n" or (ord(char) >= 32 and ord(char) != 127))


def _whole(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(microsecond=0)


def _at_local(event: Component, local: datetime, zone: str, zones: dict[str, int]) -> None:
    local = local.replace(microsecond=0)
    if zone != "UTC":
        # A year ahead: whatever the offset, the zone's first observance begins before.
        zones[zone] = min(zones.get(zone, local.year - 1), local.year - 1)
    event.add("dtstart", _local_value(local, zone))


def _local_value(local: datetime, zone: str) -> Any:
    from icalendar import vDatetime

    if zone == "UTC":
        return vDatetime(local.replace(tzinfo=UTC))
    value = vDatetime(local)
    value.params["TZID"] = zone
    return value


def _dates(event: Component, name: str, times: Sequence[datetime], zone: str) -> None:
    from icalendar import vDDDLists

    if zone == "UTC":
        event.add(name, vDDDLists([at.replace(tzinfo=UTC) for at in times]))
        return
    value = vDDDLists(list(times))
    value.params["TZID"] = zone
    event.add(name, value)


def _timezone(zone: str, first_year: int, year: int) -> Component:
    from icalendar import Timezone, TimezoneDaylight, TimezoneStandard, vDDDLists, vRecur

    component = Timezone()
    component.add("tzid", zone)
    for one in observances(zone, first_year, year):
        part = TimezoneDaylight() if one.dst else TimezoneStandard()
        part.add("dtstart", one.onsets[0])
        part.add("tzoffsetfrom", one.before)
        part.add("tzoffsetto", one.after)
        part.add("tzname", one.name)
        if one.rule is not None:
            part.add("rrule", vRecur.from_ical(one.rule))
        elif len(one.onsets) > 1:
            part.add("rdate", vDDDLists(list(one.onsets[1:])))
        component.add_component(part)
    return component
