"""What may be asked of an occurrence, mostly by the dispatcher; `now` and the owner travel along."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from horae.domain import timing as t
from horae.domain.delivery import Failure
from horae.domain.engagement import Kind
from horae.domain.occurrence.events import OccurrenceEvent, Origin, Row
from horae.domain.schedule import Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Fire:
    """The slot `at` of `schedule` has come due: claim it, or say why it will not be sent.

    `at` is what the due row named; `context` plans the slot that follows.
    """

    schedule: Schedule
    at: t.Next
    row: Row
    origin: Origin
    owner: int
    now: datetime
    context: t.Context


@dataclass(frozen=True, slots=True, kw_only=True)
class Defer:
    """A rule says: not before `until`."""

    schedule: Schedule
    at: t.Next
    row: Row
    origin: Origin
    until: datetime
    rule: str
    reason: str
    context: t.Context


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppress:
    """A rule says: not at all."""

    schedule: Schedule
    at: t.Next
    row: Row
    origin: Origin
    rule: str
    reason: str
    context: t.Context


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfill:
    """Somebody wants a slot of the past sent. `at`: as it was due, under the schedule's version `under`."""

    schedule: Schedule
    backfill: UUID
    at: t.Next
    under: int
    #: When it is to go out now.
    due_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StartAttempt:
    """A retry or replay has come due. `overtaken_by`: the occurrence of a later slot for which it is given up."""

    schedule: Schedule
    owner: int
    now: datetime
    overtaken_by: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordDelivered:
    """The channel took it."""

    schedule: Schedule
    attempt: int
    started_at: datetime
    duration_ms: float
    response: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFailed:
    """The channel did not take it, or nobody knows."""

    schedule: Schedule
    attempt: int
    failure: Failure
    started_at: datetime
    duration_ms: float
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoverLost:
    """The worker `owner` that ran the open attempt is gone, and nobody knows how far it came.

    Or it lives, but lost hold of its attempt number `attempt`.
    """

    schedule: Schedule
    owner: int
    attempt: int | None = None
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """Somebody wants a new attempt of one that ended without delivery."""

    schedule: Schedule
    now: datetime
    reason: str | None = None
    request_digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportDelivery:
    """A provider tells what became of a released one."""

    schedule: Schedule
    status: str
    at: datetime
    detail: dict[str, Any] | None = None
    request_digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Engage:
    """Somebody saw the recipient do something with what was sent. `about`: any event of the occurrence."""

    about: OccurrenceEvent
    kind: Kind
    at: datetime
    now: datetime
    #: Where the plan needed no zone.
    default_zone: str
    agent: str | None = None
    machine: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CloseWindow:
    """The attribution window is thought to be over. `about`: any event of the occurrence."""

    about: OccurrenceEvent
    now: datetime
    default_zone: str


Command = (
    Engage
    | CloseWindow
    | Fire
    | Defer
    | Suppress
    | Backfill
    | StartAttempt
    | RecordDelivered
    | RecordFailed
    | RecoverLost
    | Replay
    | ReportDelivery
)
