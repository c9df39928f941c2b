"""The state of a schedule: the fold of its stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import assert_never
from uuid import UUID

from horae.domain import timing as t
from horae.domain.conflicts.values import Settlement
from horae.domain.personal import Personal
from horae.domain.schedule.events import (
    Definition,
    ScheduleCancelled,
    ScheduleChanged,
    ScheduleCreated,
    ScheduleEvent,
    SchedulePaused,
    ScheduleReplanned,
    ScheduleResumed,
    ScheduleTriggered,
    SlotSkipped,
    SlotUnskipped,
    Status,
)
from horae.domain.timing.opendays import Calendar


@dataclass(frozen=True, slots=True)
class Schedule:
    """The fold of a schedule's stream; `version` is its head."""

    id: UUID
    version: int
    status: Status
    recipient_ref: str
    personal: Personal
    definition: Definition
    #: The slot that the last event of this stream named; firing has moved on since then if the timing recurs.
    next: t.Next | None
    exceptions: frozenset[t.Slot] = frozenset()
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

    def context(
        self, now: datetime, *, default_zone: str, recipient_zone: str | None, calendar: Calendar | None = None
    ) -> t.Context:
        """What the timing engine needs to know to plan this schedule's slots; of a timing `best`, as it was chosen."""
        return t.Context(
            now=now,
            schedule_id=self.id,
            default_zone=default_zone,
            recipient_zone=recipient_zone,
            exceptions=self.exceptions,
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
            # Exceptions are slots of the rule: another rule has other slots.
            same = same_rule(event.definition.timing, state.timing)
            return replace(
                state,
                personal=event.personal,
                definition=event.definition,
                next=state.next if event.next_unchanged else event.next,
                exceptions=state.exceptions if same else frozenset(),
                settled=event.settled,
            )
        case SchedulePaused():
            return replace(state, status=Status.PAUSED)
        case ScheduleResumed():
            return replace(state, status=Status.ACTIVE, next=event.next)
        case ScheduleCancelled():
            return replace(state, status=Status.CANCELLED)
        case SlotSkipped():
            exceptions = state.exceptions | {event.slot}
            return replace(state, exceptions=exceptions, next=state.next if event.next_unchanged else event.next)
        case SlotUnskipped():
            exceptions = state.exceptions - {event.slot}
            return replace(state, exceptions=exceptions, next=state.next if event.next_unchanged else event.next)
        case ScheduleTriggered():
            return replace(state, triggers={**state.triggers, event.occurrence: event.at})
        case ScheduleReplanned():
            return replace(state, next=event.next)
        case _ as never:
            assert_never(never)


_RULE = ("cron", "rrule", "interval", "business_day", "calendar", "zone", "starts_at")


def same_rule(one: t.Timing, other: t.Timing) -> bool:
    """Do both name the same slots, as far as they reach (ends, jitter and what becomes of missed ones may differ)?"""
    if not isinstance(one, t.Every) or not isinstance(other, t.Every):
        return unshifted(one) == unshifted(other)
    return all(getattr(one, name) == getattr(other, name) for name in _RULE)


def unshifted(timing: t.Timing) -> t.Timing:
    """The timing as it is without regard to other schedules."""
    return timing if timing.shifted_by is None else timing.model_copy(update={"shifted_by": None})


def shifted(timing: t.Timing, settled: Settlement | None) -> t.Timing:
    """The timing as it is by what was decided among others: on time, or later by as much."""
    by = settled.shifted_by if settled is not None else None
    return timing if timing.shifted_by == by else timing.model_copy(update={"shifted_by": by})
