"""What may happen to a schedule: the facts of its stream."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Literal
from uuid import UUID

from horae.domain import timing as t
from horae.domain.conflicts.values import ConflictPolicy, Settlement
from horae.domain.delivery import Delivery
from horae.domain.envelope import Event, Value
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
    #: What is to become of it where it meets other schedules; None: nobody looks.
    conflicts: ConflictPolicy | None = None


class Carried(Value):
    """An exception that outlives a change of the series: the slot that it named, and the one that it names now."""

    was: t.Slot
    now: t.Slot
    #: It is a slot that was moved: it stays where it was moved to, and what the series has instead (`now`) is not sent.
    moved: bool = False


class ScheduleCreated(Event):
    """A client asked for it; `next` is the first slot."""

    name: ClassVar[str] = "schedule.created.v1"
    recipient_ref: str
    personal: Personal
    definition: Definition
    next: t.Next
    cloned_from: UUID | None = None
    #: How it stood among others, where it asked; what follows from it for itself are the next events.
    settled: Settlement | None = None
    #: Of the request body under its Idempotency-Key, to tell a repeat from another request.
    request_digest: str | None = None


class ScheduleChanged(Event):
    """A client changed it. Carries the whole new definition; `changed` names the fields that differ.

    With `since`: all but the timing holds for that slot and those after it only, and where nothing but the timing
    differs the rest stays as it was for every slot.
    """

    name: ClassVar[str] = "schedule.changed.v1"
    personal: Personal
    definition: Definition
    changed: tuple[str, ...]
    #: The timing is the same: the current slot stays as it is.
    next_unchanged: bool
    next: t.Next | None = None
    #: The unclaimed slot that the new timing replaces.
    replaced: t.Slot | None = None
    #: How it stands among others: as decided now, or before if nothing was decided anew.
    settled: Settlement | None = None
    #: Another schedule was merged into it, and this is why.
    for_schedule: UUID | None = None
    since: t.Slot | None = None
    since_at: datetime | None = None
    #: The exceptions that outlive it, all others fall; None: all, while the rule is the same, else none.
    carried: tuple[Carried, ...] | None = None
    #: Occurrences of moved slots that are moved no longer.
    withdrawn: tuple[UUID, ...] | None = None
    request_digest: str | None = None


class SchedulePaused(Event):
    """Nothing of it fires until it is resumed."""

    name: ClassVar[str] = "schedule.paused.v1"
    reason: str | None = None
    request_digest: str | None = None


class ScheduleResumed(Event):
    """It fires again, from the first slot after now (a one-off that is overdue: at once)."""

    name: ClassVar[str] = "schedule.resumed.v1"
    next: t.Next | None = None
    reason: str | None = None
    request_digest: str | None = None


class ScheduleCancelled(Event):
    """Nothing of it fires any more."""

    name: ClassVar[str] = "schedule.cancelled.v1"
    reason: str | None = None
    #: It gave way to this one, or was merged into it.
    for_schedule: UUID | None = None
    request_digest: str | None = None


class SlotSkipped(Event):
    """One slot was taken out of the series."""

    name: ClassVar[str] = "schedule.slot_skipped.v1"
    slot: t.Slot
    occurrence: UUID
    due_at: datetime
    next_unchanged: bool
    next: t.Next | None = None
    #: It gave way to a slot of this schedule.
    for_schedule: UUID | None = None
    request_digest: str | None = None


class SlotUnskipped(Event):
    """A slot that was skipped or changed by itself is as its series has it again."""

    name: ClassVar[str] = "schedule.slot_unskipped.v1"
    slot: t.Slot
    occurrence: UUID
    next_unchanged: bool
    next: t.Next | None = None
    request_digest: str | None = None


class SlotChanged(Event):
    """One slot was changed by itself: what it carries, or its instant. Later changes of the series leave it alone."""

    name: ClassVar[str] = "schedule.slot_changed.v1"
    slot: t.Slot
    occurrence: UUID
    #: Names of what it has for itself; the rest of the following is as its series had it then.
    changed: tuple[str, ...]
    personal: Personal
    priority: int
    delivery: Delivery
    expires_after: t.Duration | None = None
    #: Where it was moved to; it waits there by itself.
    at: t.Next | None = None
    #: By what it was moved there, normalised: where that is a local time, the slot keeps it. None: as of events that
    #: were stored before this was kept; then it keeps its instant.
    timing: t.Timing | None = None
    #: How it stands there among others, where its schedule asks.
    settled: Settlement | None = None
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


class ScheduleBackfilled(Event):
    """Slots of the past that were not sent were asked for: those due from `begin` on and before `end`.

    What each came to is in its occurrence's stream.
    """

    name: ClassVar[str] = "schedule.backfilled.v1"
    backfill: UUID
    begin: datetime
    end: datetime
    #: How many are to be sent.
    count: int
    #: What was asked for besides those that the series would have sent.
    include: tuple[str, ...] = ()
    #: Seconds between two releases.
    every_s: float = 0.0
    reason: str | None = None
    request_digest: str | None = None


class ScheduleReplanned(Event):
    """What its slots are reckoned by has changed, and with it the next one. Nobody changed the schedule itself."""

    name: ClassVar[str] = "schedule.replanned.v1"
    cause: Literal["calendar", "zone", "recipient"]
    #: What changed, for people: `munich@4`.
    detail: str
    #: Where the series stood before.
    before: t.Next
    #: None: nothing of it is left to come.
    next: t.Next | None = None
    #: The change of zone data that this belongs to, if it is one.
    change: UUID | None = None


class SlotReplanned(Event):
    """The same of a slot that was moved by itself to a local time: that has another instant now."""

    name: ClassVar[str] = "schedule.slot_replanned.v1"
    cause: Literal["zone", "recipient"]
    detail: str
    occurrence: UUID
    #: Where it waited before.
    before: t.Next
    #: Where it waits now; its slot is the same.
    at: t.Next
    change: UUID | None = None


ScheduleEvent = (
    ScheduleCreated
    | ScheduleChanged
    | SchedulePaused
    | ScheduleResumed
    | ScheduleCancelled
    | SlotSkipped
    | SlotUnskipped
    | SlotChanged
    | ScheduleTriggered
    | ScheduleBackfilled
    | ScheduleReplanned
    | SlotReplanned
)
