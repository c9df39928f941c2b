"""What a schedule's slots were reckoned by at each instant: its timing, its recipient's zone, and its calendar of then.

Place in the flow: `backfills` -> *here* -> log. Zone data are those of today; the default zone is the installation's.
Histories may be long: each event is folded once, and of what was before a window the last state alone is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import TypeVar

from horae.commands.calendars import Resolver
from horae.commands.ports import EventReader, EventStore
from horae.commands.reading import load_schedule
from horae.commands.recipients import needs_recipient
from horae.domain import calendar as c
from horae.domain import recipient as r
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.envelope import Event, Recorded
from horae.domain.ids import recipient_stream
from horae.domain.timing.calendared import calendar_id
from horae.domain.timing.opendays import Calendar, Standard

_State = TypeVar("_State")
#: From that instant on the schedule, its recipient, or one of the calendars was this.
_Turn = tuple[datetime, s.Schedule | r.Recipient | c.State]


async def in_force(
    store: EventStore, tenant: str, state: s.Schedule, begin: datetime, end: datetime, zone: str, standard: Standard
) -> list[s.InForce]:
    """What was in force from `begin` on and before `end`, from instant to instant, up to the version of `state`.

    `zone`: where neither timing nor recipient names one. Raises `NotFound`, `Unavailable`.
    """
    reader = store.scoped(tenant)
    asked = (await load_schedule(store, tenant, state.id))[: state.version]
    schedules = course(asked, lambda was, body: s.evolve(was, state.id, body), begin, end)  # type: ignore[arg-type]
    timings = [was.timing for _, was in schedules]
    turns: list[_Turn] = [*schedules, *await _calendars(reader, tenant, timings, begin, end)]
    if any(needs_recipient(timing) for timing in timings):
        known = await reader.load(recipient_stream(tenant, state.personal.recipient))
        people: list[tuple[datetime, r.Recipient]] = course(known, _known, begin, end)
        turns += people
    return await _in_turn(turns, tenant, zone, Resolver(store, standard))


def course(
    events: Sequence[Recorded],
    evolve: Callable[[_State | None, Event], _State | None],
    begin: datetime,
    end: datetime,
) -> list[tuple[datetime, _State]]:
    """The states of a stream within a window, each with the instant from which it held: `begin` for the first, if it
    was there by then.

    An event that was recorded earlier than the one before it (clocks) holds from when that one does.
    """
    found: list[tuple[datetime, _State]] = []
    state: _State | None = None
    since = begin
    for event in events:
        since = max(since, event.meta.recorded_at)
        if since >= end:
            break
        state = evolve(state, event.body)
        if state is None:
            continue
        if since == begin:
            found.clear()
        found.append((since, state))
    return found


async def _in_turn(turns: Iterable[_Turn], tenant: str, zone: str, resolver: Resolver) -> list[s.InForce]:
    """An entry for each instant from which something is another that slots are reckoned by."""
    found: list[s.InForce] = []
    was: s.Schedule | None = None
    person: r.Recipient | None = None
    calendars: dict[tuple[str, str], c.State] = {}
    for instant, together in groupby(sorted(turns, key=itemgetter(0)), itemgetter(0)):
        for _, state in together:
            if isinstance(state, s.Schedule):
                was = state
            elif isinstance(state, r.Recipient):
                person = state
            else:
                calendars[tenant, state.id] = state
        if was is None:
            continue
        theirs = person.profile.zone if person is not None and needs_recipient(was.timing) else None
        named = calendar_id(was.timing)
        kept = {} if named is None else await resolver.together([(tenant, named)], calendars)
        calendar = next(iter(kept.values()), None)
        context = was.context(instant, default_zone=zone, recipient_zone=theirs, calendar=calendar)
        if not found or found[-1].state is not was or _differ(found[-1].context, context):
            found.append(s.InForce(instant, was, context))
    return found


def _differ(before: t.Context, after: t.Context) -> bool:
    """Were the same schedule's slots reckoned by another zone or calendar?"""
    return (before.recipient_zone, _label(before.calendar)) != (after.recipient_zone, _label(after.calendar))


def _label(calendar: Calendar | None) -> str | None:
    return None if calendar is None else calendar.label


def _known(was: r.Recipient | None, body: Event) -> r.Recipient | None:
    return r.evolve(was, body) if isinstance(body, r.RecipientSet) else was


def _written(was: c.State | None, body: Event) -> c.State | None:
    return c.evolve(was, body) if isinstance(body, c.CalendarSet) else was


async def _calendars(
    reader: EventReader, tenant: str, timings: Collection[t.Timing], begin: datetime, end: datetime
) -> list[tuple[datetime, c.State]]:
    """The states of the calendars that these timings keep to, and of all that these name, within the window."""
    open_ = {named for timing in timings if (named := calendar_id(timing)) is not None}
    seen: set[str] = set()
    found: list[tuple[datetime, c.State]] = []
    while open_:
        seen |= open_
        loaded = await reader.load_many([c.calendar_stream(tenant, named) for named in open_])
        written = [each for events in loaded.values() for each in course(events, _written, begin, end)]
        found += written
        open_ = {named for _, state in written for named in state.definition.named} - seen
    return found
