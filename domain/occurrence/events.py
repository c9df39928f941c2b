"""What may happen to an occurrence: the facts of its stream."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Literal
from uuid import UUID

from horae.domain import timing as t
from horae.domain.delivery import Failure
from horae.domain.engagement import Kind
from horae.domain.envelope import Event

#: What the occurrence comes from: a slot of the timing that came due, somebody's hand, or a slot of the past that was
#: asked for.
Origin = Literal["slot", "trigger", "backfill"]
#: Which due row named it: the schedule's `slot` row, whose series must move on, or the occurrence's own.
Row = Literal["slot", "occurrence"]


class Outcome(StrEnum):
    """How an occurrence ended."""

    DELIVERED = "delivered"
    DEAD_LETTERED = "dead_lettered"
    SUPPRESSED = "suppressed"
    EXPIRED = "expired"
    MISSED = "missed"
    CANCELLED = "cancelled"
    #: Sent or not, nobody can tell (at_most_once only).
    UNKNOWN = "unknown"


class OccurrenceEvent(Event):
    """What all of an occurrence's events say: whose it is."""

    schedule: UUID
    recipient_ref: str
    priority: int


class OccurrenceClaimed(OccurrenceEvent):
    """It is ours to send, by this owner's first attempt."""

    name: ClassVar[str] = "occurrence.claimed.v1"
    schedule_version: int
    origin: Origin
    slot: t.Slot
    number: int | None = None
    due_at: datetime
    plan: t.Plan
    #: The claiming worker's incarnation.
    owner: int
    #: True: the series' slot row goes on to `next` (None: the series has ended).
    moves: bool
    next: t.Next | None = None


class AttemptStarted(OccurrenceEvent):
    """A further attempt by this owner."""

    name: ClassVar[str] = "occurrence.attempt_started.v1"
    schedule_version: int
    attempt: int
    owner: int


class AttemptFailed(OccurrenceEvent):
    """An attempt did not end well. `retry_at`: when the next one is due; None: there is none."""

    name: ClassVar[str] = "occurrence.attempt_failed.v1"
    attempt: int
    failure: Failure
    started_at: datetime | None = None
    duration_ms: float | None = None
    retry_at: datetime | None = None


class OccurrenceDeferred(OccurrenceEvent):
    """A rule put it off, unclaimed; the series goes on meanwhile."""

    name: ClassVar[str] = "occurrence.deferred.v1"
    schedule_version: int
    origin: Origin
    slot: t.Slot
    number: int | None = None
    due_at: datetime
    until: datetime
    rule: str
    reason: str
    moves: bool
    next: t.Next | None = None


class OccurrenceBackfilled(OccurrenceEvent):
    """A slot of the past that nobody had claimed was asked for; unclaimed, it waits by itself until `due_at`."""

    name: ClassVar[str] = "occurrence.backfilled.v1"
    #: The schedule's version by whose timing it had been due.
    schedule_version: int
    backfill: UUID
    slot: t.Slot
    number: int | None = None
    was_due_at: datetime
    due_at: datetime
    plan: t.Plan


class OccurrenceMissed(OccurrenceEvent):
    """A run of slots, `slot` to `to`, was not claimed in time. Stored in the stream of the run's first slot."""

    name: ClassVar[str] = "occurrence.missed.v1"
    schedule_version: int
    slot: t.Slot
    due_at: datetime
    to: t.Slot
    to_due_at: datetime
    count: int
    policy: str
    next: t.Next | None = None


class OccurrenceEnded(OccurrenceEvent):
    """The outcome. Of an unclaimed one (`attempt` 0) it also carries slot, due instant and the series' `next`."""

    name: ClassVar[str] = "occurrence.ended.v1"
    outcome: Outcome
    reason: str
    attempt: int
    started_at: datetime | None = None
    duration_ms: float | None = None
    #: What the channel answered, e.g. {"status_code": 204}.
    response: dict[str, Any] | None = None
    schedule_version: int | None = None
    origin: Origin | None = None
    slot: t.Slot | None = None
    number: int | None = None
    due_at: datetime | None = None
    plan: t.Plan | None = None
    moves: bool = False
    next: t.Next | None = None


class OccurrenceReplayed(OccurrenceEvent):
    """Somebody asked for a new attempt after the end; the last outcome counts."""

    name: ClassVar[str] = "occurrence.replayed.v1"
    due_at: datetime
    reason: str | None = None
    request_digest: str | None = None


class SlotPassed(OccurrenceEvent):
    """The series came upon this slot again although it was already handled (clocks, resume): it moves on to `next`."""

    name: ClassVar[str] = "occurrence.passed.v1"
    schedule_version: int
    slot: t.Slot
    next: t.Next | None = None


class DeliveryReported(OccurrenceEvent):
    """A provider's word on what became of it after the release."""

    name: ClassVar[str] = "occurrence.delivery_reported.v1"
    status: str
    at: datetime
    detail: dict[str, Any] | None = None
    request_digest: str | None = None


class OccurrenceEngaged(OccurrenceEvent):
    """The recipient, or a machine in their place, did something with what was sent."""

    name: ClassVar[str] = "occurrence.engaged.v1"
    kind: Kind
    at: datetime
    #: Why it is taken for a machine's doing; None: a person's.
    machine: str | None = None
    #: True: a person's first answer within the attribution window, from which is learnt.
    answers: bool = False
    #: Of an answer: when the message went out, the zone to read that in, and what the plan logged.
    sent_at: datetime | None = None
    zone: str | None = None
    foretold: tuple[float, ...] = ()
    request_digest: str | None = None


class OccurrenceUnanswered(OccurrenceEvent):
    """The attribution window went by without an answer."""

    name: ClassVar[str] = "occurrence.unanswered.v1"
    sent_at: datetime
    zone: str
    foretold: tuple[float, ...] = ()


AnyOccurrenceEvent = (
    OccurrenceClaimed
    | AttemptStarted
    | AttemptFailed
    | OccurrenceDeferred
    | OccurrenceBackfilled
    | OccurrenceMissed
    | OccurrenceEnded
    | OccurrenceReplayed
    | SlotPassed
    | DeliveryReported
    | OccurrenceEngaged
    | OccurrenceUnanswered
)
