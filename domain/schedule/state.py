"""The state of a schedule: the fold of its stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import assert_never
from uuid import UUID

from horae.domain import timing as t
from horae.domain.conflicts.values import Settlement
from horae.domain.delivery import Delivery
from horae.domain.personal import Personal
from horae.domain.schedule.events import (
    Carried,
    Definition,
    ScheduleBackfilled,
    ScheduleCancelled,
    ScheduleChanged,
    ScheduleCreated,
    ScheduleEvent,
    SchedulePaused,
    ScheduleReplanned,
    ScheduleResumed,
    ScheduleTriggered,
    SlotChanged,
    SlotReplanned,
    SlotSkipped,
    SlotUnskipped,
    Status,
)
from horae.domain.timing.opendays import Calendar


@dataclass(frozen=True, slots=True)
class Later:
    """What holds from a slot on, its timing aside."""

    since: t.Slot
    #: The slot's instant, as it was when that was asked.
    since_at: datetime
    personal: Personal
    definition: Definition


@dataclass(frozen=True, slots=True)
class OwnChange:
    """What one slot has for itself: the values that `changed` names, and where it was moved to, if it was."""

    occurrence: UUID
    changed: tuple[str, ...]
    personal: Personal
    priority: int
    delivery: Delivery
    expires_after: timedelta | None
    at: t.Next | None
    #: How it stood among others when it was moved there.
    settled: Settlement | None = None
    #: By what it was moved there, see `SlotChanged`.
    timing: t.Timing | None = None

    def on(self, personal: Personal, definition: Definition) -> tuple[Personal, Definition]:
        """What its series has, with its own values."""
        own = {name: getattr(self.personal, name) for name in Personal.model_fields if name in self.changed}
        rest = {name: getattr(self, name) for name in OWN if name in self.changed}
        return personal.model_copy(update=own), definition.model_copy(update=rest)


#: What of the definition one slot may have for itself.
OWN = ("priority", "delivery", "expires_after")


@dataclass(frozen=True, slots=True)
class Schedule:
    """The fold of a schedule's stream; `version` is its head.

    `personal` and `definition` hold for slots before the first of `later`; the timing is that of all.
    """

    id: UUID
    version: int
    status: Status
    recipient_ref: str
    personal: Personal
    definition: Definition
    #: The slot that the last event of this stream named; firing has moved on since then if the timing recurs.
    next: t.Next | None
    exceptions: frozenset[t.Slot] = frozenset()
    #: Changed from a slot on, in the order of those slots.
    later: tuple[Later, ...] = ()
    #: Changed by themselves.
    changes: Mapping[t.Slot, OwnChange] = field(default_factory=dict)
    triggers: Mapping[UUID, t.Next] = field(default_factory=dict)
    request_digest: str | None = None
    #: The schedule that this one was copied from.
    cloned_from: UUID | None = None
    #: How it stood among others when it last asked.
    settled: Settlement | None = None

    @property
    def timing(self) -> t.Timing:
        return self.definition.timing

    @property
    def recurring(self) -> bool:
        return t.is_recurring(self.definition.timing)

    @property
    def out(self) -> frozenset[t.Slot]:
        """The slots that the series passes over: skipped, or moved and waiting by themselves."""
        if not self.changes:
            return self.exceptions
        return self.exceptions | {slot for slot, change in self.changes.items() if change.at is not None}

    @property
    def moved(self) -> Mapping[UUID, t.Next]:
        """Moved slots by their occurrence, where they were moved to."""
        return {change.occurrence: change.at for change in self.changes.values() if change.at is not None}

    def by_itself(self, occurrence: UUID) -> t.Next | None:
        """Where an occurrence waits by itself: triggered by hand, or moved; None: it is one of the series."""
        return self.triggers.get(occurrence) or self.moved.get(occurrence)

    def left(
        self, timing: t.Timing, carried: tuple[Carried, ...] | None
    ) -> tuple[frozenset[t.Slot], Mapping[t.Slot, OwnChange]]:
        """The skipped and the changed slots that outlive a change to `timing` with these exceptions carried on."""
        if carried is None:
            # Exceptions are slots of the rule: another rule has other slots.
            return (self.exceptions, self.changes) if same_rule(timing, self.timing) else (frozenset(), {})
        skipped: set[t.Slot] = set()
        own: dict[t.Slot, OwnChange] = {}
        for each in carried:
            if each.moved:
                own[each.was] = self.changes[each.was]
                skipped |= {each.now} - {each.was}
            elif each.was in self.changes:
                own[each.now] = self.changes[each.was]
            elif each.was in self.exceptions:
                skipped.add(each.now)
        return frozenset(skipped), own

    def as_series(self, slot: t.Slot) -> Schedule:
        """The schedule with what its series has for this slot, whatever the slot has for itself."""
        return replace(self, changes={}).seen_from(slot)

    def seen_from(self, slot: t.Slot | None) -> Schedule:
        """The schedule with what it has for this slot; the timing stays that of all slots."""
        if slot is None or not (self.later or self.changes):
            return self
        personal, definition = self.personal, self.definition
        for later in self.later:
            if order(later.since) <= order(slot):
                personal, definition = later.personal, later.definition
        own = self.changes.get(slot)
        if own is not None:
            personal, definition = own.on(personal, definition)
        return replace(self, personal=personal, definition=definition.model_copy(update={"timing": self.timing}))

    def context(
        self, now: datetime, *, default_zone: str, recipient_zone: str | None, calendar: Calendar | None = None
    ) -> t.Context:
        """What the timing engine needs to know to plan this schedule's slots; of a timing `best`, as it was chosen."""
        return t.Context(
            now=now,
            schedule_id=self.id,
            default_zone=default_zone,
            recipient_zone=recipient_zone,
            exceptions=self.out,
            calendar=calendar,
            choice=self.next.plan.choice if self.next is not None else None,
        )


def evolve(state: Schedule | None, schedule: UUID, event: ScheduleEvent) -> Schedule:
    """The state after `event`."""
    if isinstance(event, ScheduleCreated):
        return Schedule(
            id=schedule,
            version=1,
            status=Status.ACTIVE,
            recipient_ref=event.recipient_ref,
            personal=event.personal,
            definition=event.definition,
            next=event.next,
            request_digest=event.request_digest,
            cloned_from=event.cloned_from,
            settled=event.settled,
        )
    if state is None:
        raise ValueError(f"the stream of schedule {schedule} does not begin with its creation")
    state = replace(state, version=state.version + 1)
    match event:
        case ScheduleChanged():
            return _changed(state, event)
        case SchedulePaused():
            return replace(state, status=Status.PAUSED)
        case ScheduleResumed():
            return replace(state, status=Status.ACTIVE, next=event.next)
        case ScheduleCancelled():
            return replace(state, status=Status.CANCELLED)
        case SlotSkipped():
            return replace(
                state,
                exceptions=state.exceptions | {event.slot},
                changes=_without(state.changes, event.slot),
                next=state.next if event.next_unchanged else event.next,
            )
        case SlotUnskipped():
            return replace(
                state,
                exceptions=state.exceptions - {event.slot},
                changes=_without(state.changes, event.slot),
                next=state.next if event.next_unchanged else event.next,
            )
        case SlotChanged():
            own = OwnChange(
                occurrence=event.occurrence,
                changed=event.changed,
                personal=event.personal,
                priority=event.priority,
                delivery=event.delivery,
                expires_after=event.expires_after,
                at=event.at,
                settled=event.settled,
                timing=event.timing,
            )
            return replace(
                state,
                exceptions=state.exceptions - {event.slot},
                changes={**state.changes, event.slot: own},
                next=state.next if event.next_unchanged else event.next,
            )
        case ScheduleTriggered():
            return replace(state, triggers={**state.triggers, event.occurrence: event.at})
        case ScheduleBackfilled():
            return state
        case ScheduleReplanned():
            return replace(state, next=event.next)
        case SlotReplanned():
            own = replace(state.changes[event.at.slot], at=event.at)
            return replace(state, changes={**state.changes, event.at.slot: own})
        case _ as never:
            assert_never(never)


def order(slot: t.Slot) -> tuple[datetime, int]:
    """By local time: as what is asked from a slot on reaches."""
    return slot.local, slot.fold


def _without(changes: Mapping[t.Slot, OwnChange], slot: t.Slot) -> Mapping[t.Slot, OwnChange]:
    return {named: own for named, own in changes.items() if named != slot} if slot in changes else changes


def _changed(state: Schedule, event: ScheduleChanged) -> Schedule:
    timing = event.definition.timing
    exceptions, changes = state.left(timing, event.carried)
    state = replace(
        state,
        exceptions=exceptions,
        changes=changes,
        next=state.next if event.next_unchanged else event.next,
        settled=event.settled,
    )
    if not set(event.changed) - {"timing"}:
        return replace(state, definition=state.definition.model_copy(update={"timing": timing}))
    if event.since is None or event.since_at is None:
        return replace(state, personal=event.personal, definition=event.definition, later=())
    later = [each for each in state.later if order(each.since) < order(event.since)]
    later.append(Later(event.since, event.since_at, event.personal, event.definition))
    return replace(state, definition=state.definition.model_copy(update={"timing": timing}), later=tuple(later))


_RULE = ("cron", "rrule", "interval", "business_day", "calendar", "zone", "starts_at", "then")


def same_rule(one: t.Timing, other: t.Timing) -> bool:
    """Do both name the same slots, as far as they reach (ends, jitter and what becomes of missed ones may differ)?"""
    one, other = unshifted(one), unshifted(other)
    if not isinstance(one, t.Every) or not isinstance(other, t.Every):
        return one == other
    return all(getattr(one, name) == getattr(other, name) for name in _RULE)


def unshifted(timing: t.Timing) -> t.Timing:
    """The timing as it is without regard to other schedules."""
    return t.shifted(timing, None)


def shifted(timing: t.Timing, settled: Settlement | None, since: t.Slot | None = None) -> t.Timing:
    """The timing as it is by what was decided among others: on time, or later by as much; from `since` on, if given."""
    return t.shifted(timing, settled.shifted_by if settled is not None else None, since)
