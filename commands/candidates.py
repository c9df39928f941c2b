"""From due rows to candidates: what a row stands on in the log, whether it is out of date, and what rules say of it.

Place in the flow: due index -> *candidates* -> claim (`occurrences`). What a due row says is only a hint: the streams
that it names decide which slot comes, and whether it has been dealt with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Protocol
from uuid import UUID

from horae.commands.recipients import Person
from horae.domain import occurrence as o
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.envelope import Event, Meta, Recorded
from horae.domain.timing.calendared import calendar_id
from horae.domain.timing.opendays import Calendar

KnownCalendars = Mapping[tuple[str, str], Calendar]
"""(tenant, id) -> the calendar."""
NO_CALENDARS: KnownCalendars = MappingProxyType({})


class Due(Protocol):
    """What a waiting row of the due index says; the index's own row type fits."""

    @property
    def row(self) -> o.Row: ...
    @property
    def shard(self) -> int: ...
    @property
    def tenant(self) -> str: ...
    @property
    def due_at(self) -> datetime: ...
    @property
    def schedule(self) -> UUID: ...
    @property
    def schedule_version(self) -> int: ...
    @property
    def occurrence(self) -> UUID: ...
    @property
    def occurrence_version(self) -> int: ...
    @property
    def slot(self) -> t.Slot: ...
    @property
    def number(self) -> int | None: ...
    @property
    def zone(self) -> str | None: ...
    @property
    def origin(self) -> o.Origin: ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """A due row with the streams that it stands on, as they were in the log a moment ago."""

    due: Due
    schedule: s.Schedule
    #: None as long as the occurrence has no event.
    state: o.Occurrence | None
    #: The slot to fire; None for a further attempt of a claimed occurrence.
    at: t.Next | None
    context: t.Context
    #: What led to it: the last event of what is to fire, and the schedule's first. A trace may come with them.
    causes: tuple[Meta, ...] = ()
    #: The recipient, if where the series goes on depends on their zone.
    person: Person | None = None
    #: Another of the schedule that is under way, where the timing would have nothing sent beside it.
    beside: o.Occurrence | None = None
    #: One of a later slot that was claimed, where the timing would have only the latest tried.
    overtaken_by: UUID | None = None


@dataclass(frozen=True, slots=True)
class Pass:
    """A rule has no objection."""


@dataclass(frozen=True, slots=True)
class DeferUntil:
    """A rule says: not before `until` (aware UTC)."""

    until: datetime
    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class Drop:
    """A rule says: not at all."""

    rule: str
    reason: str


Verdict = Pass | DeferUntil | Drop
#: Judges a candidate whose slot has come. Pure, and quick: it runs on the dispatcher's loop.
Rule = Callable[[Candidate], Verdict]


# --- folding ------------------------------------------------------------------------------------------------------


def fold(events: Sequence[Recorded]) -> o.Occurrence | None:
    """The state of an occurrence's stream; None for an empty one."""
    state: o.Occurrence | None = None
    for event in events:
        assert isinstance(event.body, o.OccurrenceEvent)
        state = o.evolve(state, event.stream, event.body)  # type: ignore[arg-type]
    return state


def fold_schedule(events: Sequence[Recorded]) -> s.Schedule:
    """The state of a schedule's stream. Raises ValueError for an empty one."""
    state: s.Schedule | None = None
    for event in events:
        state = s.evolve(state, event.stream, event.body)  # type: ignore[arg-type]
    if state is None:
        raise ValueError("an occurrence's schedule has no events")
    return state


def sets_pointer(body: Event) -> bool:
    """Does this event of a schedule say anew at which slot its series stands?"""
    match body:
        case s.ScheduleCreated() | s.ScheduleResumed() | s.ScheduleReplanned():
            return True
        case s.ScheduleChanged() | s.SlotSkipped() | s.SlotUnskipped() | s.SlotChanged():
            return not body.next_unchanged
        case _:
            return False


def moves_series(body: Event) -> int | None:
    """The schedule version under which this event of an occurrence moved the series on; None: it did not."""
    match body:
        case o.OccurrenceClaimed() | o.OccurrenceDeferred() | o.OccurrenceEnded():
            return body.schedule_version if body.moves else None
        case o.OccurrenceMissed() | o.SlotPassed():
            return body.schedule_version
        case _:
            return None


# --- planning -----------------------------------------------------------------------------------------------------


def candidate_of(
    row: Due,
    streams: dict[UUID, list[Recorded]],
    people: Mapping[UUID, Person],
    now: datetime,
    default_zone: str,
    calendars: KnownCalendars = NO_CALENDARS,
) -> Candidate | None:
    """The row with what it stands on; None: it is out of date. `people`: recipients who are followed, by schedule."""
    asked = streams.get(row.schedule)
    if not asked:
        return None
    schedule, history = fold_schedule(asked), streams.get(row.occurrence, [])
    state = fold(history)
    person = people.get(schedule.id)
    zone = row.zone if person is None else person.zone
    calendar = calendars.get((row.tenant, calendar_id(schedule.timing) or ""))
    context = schedule.context(now, default_zone=default_zone, recipient_zone=zone, calendar=calendar)
    causes = ((history or asked)[-1].meta, asked[0].meta)
    if row.row == "slot":
        pointer = _pointer(asked)
        if pointer is None or row.occurrence_version > 0:
            return None
        version, named = pointer
        moved = [moved for event in history if (moved := moves_series(event.body)) is not None]
        # A row that was written before the pointer was last set names a slot at which the series no longer stands; and
        # an event that moved the series since then has dealt with this slot.
        if row.schedule_version < version or any(under >= version for under in moved):
            return None
        at = named if named is not None and named.slot == row.slot else _at(row, schedule, context)
        return Candidate(row, schedule.seen_from(row.slot), state, at, context, causes, person)
    if state is not None and state.wake_at is not None and state.wake_at > now and schedule.status is s.Status.ACTIVE:
        # The row is older than the last attempt, which has put off the next.
        return None
    seen = schedule.seen_from(row.slot)
    if state is not None and state.phase is not o.Phase.DEFERRED:
        return Candidate(row, seen, state, None, context, causes)
    by_itself = schedule.by_itself(row.occurrence)
    if by_itself is None and state is None:
        # A slot that was moved, and is where its series has it again.
        return None
    if by_itself is not None and schedule.status is s.Status.ACTIVE and by_itself.due_at > max(now, row.due_at):
        # It was moved on since the row was written.
        return None
    at = by_itself or _deferred_at(row, asked, history, context)
    return Candidate(row, seen, state, at, context, causes)


def _pointer(asked: Sequence[Recorded]) -> tuple[int, t.Next | None] | None:
    """The version of the schedule's last event that says where the series stands, and the slot that it names."""
    for event in reversed(asked):
        if sets_pointer(event.body):
            return event.version, event.body.next  # type: ignore[attr-defined]
    return None


def _at(row: Due, schedule: s.Schedule, context: t.Context) -> t.Next:
    """The slot that the row names, with its plan as it was made: in the recipient's zone of then."""
    then = replace(context, recipient_zone=row.zone, exceptions=schedule.out)
    found = t.find(schedule.timing, row.slot, then)
    if found is not None:
        return found.model_copy(update={"number": row.number, "due_at": row.due_at})
    zone, source = t.zone_of(schedule.timing, then)
    reason = t.Reason(
        code="replanned", text="The zone data no longer has this slot; it keeps the instant planned before."
    )
    plan = t.Plan(zone=zone, zone_source=source, tzdata=t.tzdata_version(), branch="normal", reasons=(reason,))
    return t.Next(slot=row.slot, number=row.number, due_at=row.due_at, plan=plan)


def _deferred_at(row: Due, asked: Sequence[Recorded], history: Sequence[Recorded], context: t.Context) -> t.Next:
    """The slot of an occurrence that waits by itself unclaimed: as it was asked for, else by the timing that it was
    planned with."""
    for event in reversed(history):
        if isinstance(event.body, o.OccurrenceBackfilled):
            asked_for = event.body
            return t.Next(slot=asked_for.slot, number=asked_for.number, due_at=asked_for.due_at, plan=asked_for.plan)
    deferred = next((e.body for e in reversed(history) if isinstance(e.body, o.OccurrenceDeferred)), None)
    version = deferred.schedule_version if deferred is not None else len(asked)
    at = _at(row, fold_schedule(asked[:version]), context)
    return at if deferred is None else at.model_copy(update={"due_at": deferred.due_at, "number": deferred.number})


def recipient_followed(asked: Sequence[Recorded]) -> str | None:
    """The recipient, if the schedule's series follows the zone that they prefer."""
    for event in reversed(asked):
        if isinstance(event.body, s.ScheduleCreated | s.ScheduleChanged):
            timing = event.body.definition.timing
            follows = isinstance(timing, t.Every) and any(rule.zone == "recipient" for rule in t.rules_of(timing))
            return event.body.personal.recipient if follows else None
    return None


def calendar_of(asked: Sequence[Recorded]) -> str | None:
    """The calendar that the schedule's series keeps to, if any."""
    for event in reversed(asked):
        if isinstance(event.body, s.ScheduleCreated | s.ScheduleChanged):
            return calendar_id(event.body.definition.timing)
    return None


def overruled(candidate: Candidate, at: t.Next, rules: Sequence[Rule]) -> o.Defer | o.Suppress | None:
    """What the first rule that objects makes of the slot `at`; None: none does."""
    due, schedule, context = candidate.due, candidate.schedule, candidate.context
    for rule in rules:
        match rule(candidate):
            case DeferUntil(until, name, reason):
                return o.Defer(
                    schedule=schedule, at=at, row=due.row, origin=due.origin, until=until, rule=name, reason=reason,
                    context=context,
                )  # fmt: skip
            case Drop(name, reason):
                return o.Suppress(
                    schedule=schedule, at=at, row=due.row, origin=due.origin, rule=name, reason=reason, context=context
                )
            case Pass():
                continue
    return None
