"""A schedule: what a client asked for. Its stream is the whole history of asking; firing never touches it.

Reading order: values, events, state, `evolve`, commands, `decide`. Pure: `now` and new ids travel in the command.
The chain of slots runs on through the occurrences' events (`occurrence.py`); here it starts, jumps and ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar, assert_never
from uuid import UUID

from horae.domain import timing as t
from horae.domain.delivery import Delivery
from horae.domain.envelope import Event, Value
from horae.domain.errors import AlreadyClaimed, Conflict, Invalid, VersionMismatch
from horae.domain.ids import occurrence_id, trigger_occurrence_id
from horae.domain.personal import Personal


class Status(StrEnum):
    """Where the asking stands; how occurrences end is in `occurrence.Outcome`."""

    ACTIVE = "active"
    PAUSED = "paused"
    CANCELLED = "cancelled"


class Definition(Value):
    """What is to happen, without the personal part."""

    timing: t.Timing
    priority: int
    delivery: Delivery
    #: An occurrence that could not be claimed within this time after its due instant ends `expired`.
    expires_after: t.Duration | None = None


# --- events ---------------------------------------------------------------------------------------------------


class ScheduleCreated(Event):
    """A client asked for it; `next` is the first slot."""

    name: ClassVar[str] = "schedule.created.v1"
    recipient_ref: str
    personal: Personal
    definition: Definition
    next: t.Next
    cloned_from: UUID | None = None
    #: Of the request body under its Idempotency-Key, to tell a repeat from another request.
    request_digest: str | None = None


class ScheduleChanged(Event):
    """A client changed it. Carries the whole new definition; `changed` names the fields that differ."""

    name: ClassVar[str] = "schedule.changed.v1"
    personal: Personal
    definition: Definition
    changed: tuple[str, ...]
    #: The timing is the same: the current slot stays as it is.
    next_unchanged: bool
    next: t.Next | None = None
    #: The unclaimed slot that the new timing replaces.
    replaced: t.Slot | None = None
    request_digest: str | None = None


class SchedulePaused(Event):
    """Nothing of it fires until it is resumed."""

    name: ClassVar[str] = "schedule.paused.v1"
    reason: str | None = None
    request_digest: str | None = None


class ScheduleResumed(Event):
    """It fires again, from the first slot after now (a one-off that is overdue: at once)."""

    name: ClassVar[str] = "schedule.resumed.v1"
    next: t.Next | None
    reason: str | None = None
    request_digest: str | None = None


class ScheduleCancelled(Event):
    """Nothing of it fires any more."""

    name: ClassVar[str] = "schedule.cancelled.v1"
    reason: str | None = None
    request_digest: str | None = None


class SlotSkipped(Event):
    """One slot was taken out of the series."""

    name: ClassVar[str] = "schedule.slot_skipped.v1"
    slot: t.Slot
    occurrence: UUID
    due_at: datetime
    next_unchanged: bool
    next: t.Next | None = None
    request_digest: str | None = None


class SlotUnskipped(Event):
    """A skipped slot was put back."""

    name: ClassVar[str] = "schedule.slot_unskipped.v1"
    slot: t.Slot
    occurrence: UUID
    next_unchanged: bool
    next: t.Next | None = None
    request_digest: str | None = None


class ScheduleTriggered(Event):
    """One occurrence was asked for by hand, now; the cadence does not move."""

    name: ClassVar[str] = "schedule.triggered.v1"
    trigger: UUID
    occurrence: UUID
    at: t.Next
    reason: str | None = None
    request_digest: str | None = None


ScheduleEvent = (
    ScheduleCreated
    | ScheduleChanged
    | SchedulePaused
    | ScheduleResumed
    | ScheduleCancelled
    | SlotSkipped
    | SlotUnskipped
    | ScheduleTriggered
)


# --- state ----------------------------------------------------------------------------------------------------


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

    @property
    def timing(self) -> t.Timing:
        return self.definition.timing

    @property
    def recurring(self) -> bool:
        return t.is_recurring(self.definition.timing)

    def context(self, now: datetime, *, default_zone: str, recipient_zone: str | None) -> t.Context:
        """What the timing engine needs to know to plan this schedule's slots."""
        return t.Context(
            now=now,
            schedule_id=self.id,
            default_zone=default_zone,
            recipient_zone=recipient_zone,
            exceptions=self.exceptions,
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
        )
    if state is None:
        raise ValueError(f"the stream of schedule {schedule} does not begin with its creation")
    state = replace(state, version=state.version + 1)
    match event:
        case ScheduleChanged():
            state = replace(state, personal=event.personal, definition=event.definition)
            if event.next_unchanged:
                return state
            # Exceptions belong to the slots of the old timing.
            return replace(state, next=event.next, exceptions=frozenset())
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
        case _ as never:
            assert_never(never)


# --- commands -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """Ask for a schedule. `timing` is as the client meant it; it is normalised here."""

    schedule: UUID
    recipient_ref: str
    personal: Personal
    timing: t.Timing
    context: t.Context
    priority: int
    delivery: Delivery
    expires_after: timedelta | None = None
    cloned_from: UUID | None = None
    request_digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Current:
    """Where the series stands, as read outside the schedule's stream and fenced by the handler.

    `next` is the first slot that is neither handled nor skipped; the append expects its occurrence at version 0.
    None: the series has ended or is paused, or the one-off is skipped or has begun.
    """

    next: t.Next | None
    #: A one-off whose occurrence has begun: nothing can move it any more. Never true of a series.
    begun: bool = False


#: Where a series stands that is not asked, because nothing of it will move.
NOT_READ = Current(next=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Change what is given and keep the rest. `changes` may hold: timing, priority, delivery, expires_after,
    channel, content, metadata, tags (already validated values). For a series whose timing stays, `current` is not read.
    """

    changes: Mapping[str, Any]
    context: t.Context
    current: Current
    if_match: int | None = None
    request_digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    if_match: int | None = None
    reason: str | None = None
    request_digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """A one-off goes on with its `current` slot; for a series `current` is not read, it goes on from now."""

    context: t.Context
    current: Current
    if_match: int | None = None
    reason: str | None = None
    request_digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    if_match: int | None = None
    reason: str | None = None
    request_digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    trigger: UUID
    context: t.Context
    reason: str | None = None
    request_digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    slot: t.Slot
    context: t.Context
    current: Current
    request_digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unskip:
    slot: t.Slot
    context: t.Context
    current: Current
    request_digest: str | None = None


Command = Change | Pause | Resume | Cancel | Trigger | Skip | Unskip


# --- decide ---------------------------------------------------------------------------------------------------


def create(command: Create) -> ScheduleCreated:
    """The first event of a schedule. Raises `Invalid` if its timing has no slot at all."""
    timing = t.normalise(command.timing, command.context)
    first = t.first(timing, command.context)
    if first is None:
        raise Invalid(
            "The timing has no slot from now on.",
            field="timing",
            value=timing.model_dump(mode="json", exclude_none=True),
            hint="Choose a later end, or a rule that matches.",
        )
    return ScheduleCreated(
        recipient_ref=command.recipient_ref,
        personal=command.personal,
        definition=Definition(
            timing=timing,
            priority=command.priority,
            delivery=command.delivery,
            expires_after=command.expires_after,
        ),
        next=first,
        cloned_from=command.cloned_from,
        request_digest=command.request_digest,
    )


def decide(command: Command, state: Schedule) -> list[ScheduleEvent]:
    """What follows from the command, as events; an empty list: nothing is to be done (it is so already).

    Raises `Conflict`, `AlreadyClaimed`, `VersionMismatch` or `Invalid`; then nothing has happened.
    """
    match command:
        case Change():
            return _change(command, state)
        case Pause():
            return _pause(command, state)
        case Resume():
            return _resume(command, state)
        case Cancel():
            _check_version(command.if_match, state)
            if state.status is Status.CANCELLED:
                return []
            return [ScheduleCancelled(reason=command.reason, request_digest=command.request_digest)]
        case Trigger():
            return _trigger(command, state)
        case Skip():
            return _skip(command, state)
        case Unskip():
            return _unskip(command, state)
        case _ as never:
            assert_never(never)


def _check_version(if_match: int | None, state: Schedule) -> None:
    if if_match is not None and if_match != state.version:
        raise VersionMismatch(
            f"The schedule is at version {state.version}, not {if_match}.",
            field="If-Match",
            value=if_match,
            hint="Read it again and decide anew.",
            version=state.version,
        )


def _check_open(state: Schedule, verb: str) -> None:
    if state.status is Status.CANCELLED:
        raise Conflict(
            f"The schedule is cancelled, so it cannot be {verb}.", field="status", value="cancelled", hint="Clone it."
        )


def _change(command: Change, state: Schedule) -> list[ScheduleEvent]:
    _check_version(command.if_match, state)
    _check_open(state, "changed")
    if command.current.begun:
        raise _begun(state, command.context)
    personal = state.personal.model_copy(
        update={k: v for k, v in command.changes.items() if k in Personal.model_fields and k != "recipient"}
    )
    definition = state.definition.model_copy(
        update={k: v for k, v in command.changes.items() if k in Definition.model_fields and k != "timing"}
    )
    next_: t.Next | None = None
    # The context's exceptions belong to the old timing's slots.
    context = replace(command.context, exceptions=frozenset())
    new_timing = command.changes.get("timing")
    if new_timing is not None and moves(new_timing, state):
        if state.recurring and state.status is Status.ACTIVE and command.current.next is None:
            raise Conflict(
                "The series has ended.", field="status", value="completed", hint="Clone it with a new timing."
            )
        timing = t.normalise(new_timing, context)
        definition = definition.model_copy(update={"timing": timing})
        next_ = t.first(timing, context)
        if next_ is None:
            raise Invalid("The new timing has no slot from now on.", field="timing", hint="Choose a later end.")
    changed = tuple(
        sorted(
            [k for k in Personal.model_fields if getattr(personal, k) != getattr(state.personal, k)]
            + [k for k in Definition.model_fields if getattr(definition, k) != getattr(state.definition, k)]
        )
    )
    if not changed:
        return []
    return [
        ScheduleChanged(
            personal=personal,
            definition=definition,
            changed=changed,
            next_unchanged=next_ is None,
            next=next_ if state.status is Status.ACTIVE else None,
            replaced=command.current.next.slot if next_ is not None and command.current.next else None,
            request_digest=command.request_digest,
        )
    ]


def moves(new: t.Timing, state: Schedule) -> bool:
    """Does a client that sends the timing `new` ask for something else than what the schedule already does?"""
    old = state.timing
    if isinstance(new, t.Every) and isinstance(old, t.Every):
        # The anchor that was filled in at creation stays: else every PATCH would shift an interval.
        new = new.model_copy(update={"anchor": old.anchor})
    return new != old


def one_off_slot(state: Schedule, context: t.Context) -> t.Next:
    """The one slot of a schedule that does not recur, skipped, fired or not."""
    slot = t.first(state.timing, replace(context, exceptions=frozenset()))
    if slot is None:
        raise ValueError(f"the one-off {state.id} has no slot")
    return slot


def _begun(state: Schedule, context: t.Context) -> AlreadyClaimed:
    slot = one_off_slot(state, context).slot
    return AlreadyClaimed(
        "The occurrence is already on its way or done.",
        field="timing",
        value=slot.local.isoformat(),
        hint="Create a new schedule for a further message.",
        already_claimed=[str(occurrence_id(state.id, slot.local, slot.fold))],
    )


def _pause(command: Pause, state: Schedule) -> list[ScheduleEvent]:
    _check_version(command.if_match, state)
    _check_open(state, "paused")
    if state.status is Status.PAUSED:
        return []
    return [SchedulePaused(reason=command.reason, request_digest=command.request_digest)]


def _resume(command: Resume, state: Schedule) -> list[ScheduleEvent]:
    _check_version(command.if_match, state)
    _check_open(state, "resumed")
    if state.status is Status.ACTIVE:
        return []
    # A one-off that was held back goes out late, overdue or not.
    following = t.after(state.timing, command.context.now, command.context) if state.recurring else None
    next_ = following if state.recurring else command.current.next
    return [ScheduleResumed(next=next_, reason=command.reason, request_digest=command.request_digest)]


def _trigger(command: Trigger, state: Schedule) -> list[ScheduleEvent]:
    if state.status is not Status.ACTIVE:
        raise Conflict(
            f"The schedule is {state.status}, so it cannot be triggered.",
            field="status",
            value=state.status.value,
            hint="Resume it first, or clone it.",
        )
    at = t.first(t.normalise(t.Now(), command.context), command.context)
    if at is None:
        raise ValueError("now is always a slot")
    occurrence = trigger_occurrence_id(state.id, command.trigger, at.slot.local)
    return [
        ScheduleTriggered(
            trigger=command.trigger,
            occurrence=occurrence,
            at=at,
            reason=command.reason,
            request_digest=command.request_digest,
        )
    ]


def _skip(command: Skip, state: Schedule) -> list[ScheduleEvent]:
    _check_open(state, "changed")
    planned = _slot_of_series(command.slot, state, command.context)
    if command.slot in state.exceptions:
        return []
    occurrence = occurrence_id(state.id, command.slot.local, command.slot.fold)
    current = command.current.next
    if state.status is Status.ACTIVE and (current is None or planned.due_at < current.due_at):
        raise AlreadyClaimed(
            "The slot has already fired or is on its way.",
            field="slot",
            value=command.slot.local.isoformat(),
            hint="Only slots to come can be skipped.",
            already_claimed=[str(occurrence)],
        )
    is_current = current is not None and current.slot == command.slot
    context = replace(command.context, exceptions=state.exceptions | {command.slot})
    return [
        SlotSkipped(
            slot=command.slot,
            occurrence=occurrence,
            due_at=planned.due_at,
            next_unchanged=not is_current,
            next=t.following(state.timing, planned, context) if is_current else None,
            request_digest=command.request_digest,
        )
    ]


def _unskip(command: Unskip, state: Schedule) -> list[ScheduleEvent]:
    _check_open(state, "changed")
    if command.slot not in state.exceptions:
        return []
    planned = _slot_of_series(command.slot, state, command.context)
    if planned.due_at <= command.context.now:
        raise Conflict(
            "The slot lies in the past, so putting it back would never fire it.",
            field="slot",
            value=command.slot.local.isoformat(),
            hint="Trigger the schedule instead.",
        )
    current = command.current.next
    earlier = state.status is Status.ACTIVE and (current is None or planned.due_at < current.due_at)
    return [
        SlotUnskipped(
            slot=command.slot,
            occurrence=occurrence_id(state.id, command.slot.local, command.slot.fold),
            next_unchanged=not earlier,
            next=planned if earlier else None,
            request_digest=command.request_digest,
        )
    ]


def _slot_of_series(slot: t.Slot, state: Schedule, context: t.Context) -> t.Next:
    found = t.find(state.timing, slot, context)
    if found is None:
        raise Invalid(
            "The schedule has no such slot.",
            field="slot",
            value=slot.local.isoformat(),
            hint="Ask for its preview: each slot is listed there with its fold.",
        )
    return found
