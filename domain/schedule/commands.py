"""What clients may ask of a schedule; `now`, zones and new ids travel along."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from horae.domain import timing as t
from horae.domain.conflicts.values import ConflictPolicy, Settlement
from horae.domain.delivery import Delivery
from horae.domain.personal import Personal


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
    conflicts: ConflictPolicy | None = None
    #: What was decided by that policy; never `rejected`.
    settled: Settlement | None = None
    request_digest: str | None = None
    #: Why the timing is another than the one that was sent; told with the plan of its first slot.
    why: t.Reason | None = None


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
    conflicts, channel, content, metadata, tags (already validated values). For a series whose timing stays, `current`
    is not read.

    With `since`: for this slot and those after it. `exceptions`: what becomes of skipped slots and of those that were
    changed by themselves (None: they stay while the rule does). `taken`: the slot of a new timing that does not recur
    has begun already, as one of the series that it replaces.
    """

    changes: Mapping[str, Any]
    context: t.Context
    current: Current
    since: t.Slot | None = None
    exceptions: Literal["keep", "drop"] | None = None
    taken: bool = False
    if_match: int | None = None
    #: What was decided anew by its policy on conflicts; then `current` is read.
    settled: Settlement | None = None
    request_digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeIn:
    """Take in the content of the schedule `taken`, which is merged into this one, and be as pressing as it was.

    `current` is fenced by the handler, and so are the slots that were moved by themselves.
    """

    taken: UUID
    content: Mapping[str, Any]
    priority: int
    context: t.Context
    current: Current


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeSlot:
    """Change one slot by itself. `changes` as for `Change`; a timing says where to it is moved, and does not recur.

    `begun`: the slot's occurrence has events, so that nothing can change it any more; fenced by the handler.
    """

    slot: t.Slot
    changes: Mapping[str, Any]
    context: t.Context
    current: Current
    begun: bool = False
    if_match: int | None = None
    #: What was decided by the schedule's policy on conflicts, of a slot that is moved.
    settled: Settlement | None = None
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
    #: It gives way to this schedule, or is merged into it.
    for_schedule: UUID | None = None
    request_digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    trigger: UUID
    context: t.Context
    reason: str | None = None
    request_digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfill:
    """Send slots of the past. `count`: of how many slots that is decided with it; their occurrences hold the rest."""

    backfill: UUID
    begin: datetime
    end: datetime
    count: int
    include: tuple[str, ...] = ()
    every: timedelta = timedelta(0)
    reason: str | None = None
    request_digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """`begun`: as in `ChangeSlot`; read of a slot that was moved."""

    slot: t.Slot
    context: t.Context
    current: Current
    #: It gives way to a slot of this schedule.
    for_schedule: UUID | None = None
    begun: bool = False
    request_digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unskip:
    """`begun`: as in `ChangeSlot`; read of a slot that was moved."""

    slot: t.Slot
    context: t.Context
    current: Current
    begun: bool = False
    request_digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replan:
    """See whether the next slot is still where it was planned; what it is reckoned by has changed."""

    cause: Literal["calendar", "zone", "recipient"]
    detail: str
    context: t.Context
    current: Current


Command = Change | TakeIn | ChangeSlot | Pause | Resume | Cancel | Trigger | Backfill | Skip | Unskip | Replan
