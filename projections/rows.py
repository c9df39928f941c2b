"""The rows that firing changes, as they are held while a batch is folded into them.

Place in the flow: the projector reads the prior rows of a batch, `fold` changes them event by event, the projector
writes what came out. What a row implies (the status that clients see, the due row) is computed here, from the
row alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from horae.domain.ids import occurrence_id
from horae.domain.timing import Next, Slot
from horae.projections.due import DueRow

#: Statuses of occurrences that have not ended.
OPEN = frozenset({"waiting", "deferred", "executing", "retrying"})
#: Those of them that wait for an instant.
WAITING = frozenset({"waiting", "deferred", "retrying"})

#: A one-off's status, from that of its slot's occurrence.
ONE_OFF_STATUS = {
    "waiting": "pending",
    "deferred": "pending",
    "executing": "executing",
    "retrying": "executing",
    "delivered": "completed",
    "dead_lettered": "failed",
    "suppressed": "suppressed",
    "expired": "expired",
    "missed": "missed",
    "cancelled": "cancelled",
    "unknown": "unknown",
}


@dataclass(slots=True)
class Standing:
    """Where a schedule stands; the fields are the columns of `standings`."""

    id: UUID
    tenant: str
    shard: int
    recipient_ref: str
    recurring: bool
    priority: int
    created_at: datetime
    updated_at: datetime
    position: int
    version: int = 1
    phase: str = "active"
    slot: Slot | None = None
    number: int | None = None
    due_at: datetime | None = None
    plan: str | None = None
    zone: str | None = None
    recipient_zone: str | None = None
    skipped: str = "[]"
    #: JSON, a list: ["from", local, fold], ascending, or ["slot", local, fold, due_at or null, names of what it has]
    #: and, of one that asked about conflicts, what was settled.
    varied: str = "[]"
    open: int = 0
    one_off: str | None = None
    one_off_id: UUID | None = None
    fired: int = 0
    missed: int = 0
    cancelled_at: datetime | None = None
    executed_at: datetime | None = None
    failure_reason: str | None = None
    #: That it shares with those that it must not meet.
    conflict_key: str | None = None

    def move_to(self, at: Next | None) -> None:
        """The series' next slot is `at` from now on."""
        if at is None:
            self.slot = self.number = self.due_at = self.plan = self.recipient_zone = None
            return
        self.slot, self.number, self.due_at = at.slot, at.number, at.due_at
        self.plan = at.plan.model_dump_json(exclude_none=True)
        self.zone = at.plan.zone
        self.recipient_zone = at.plan.zone if at.plan.zone_source == "recipient" else None

    @property
    def moved_to(self) -> datetime | None:
        """Where the last of the slots that were moved by themselves goes out, or went out; None: none was moved."""
        if self.varied == "[]":
            return None
        moved = [entry[3] for entry in json.loads(self.varied) if entry[0] == "slot" and entry[3] is not None]
        return max(map(datetime.fromisoformat, moved), default=None)

    @property
    def status(self) -> str:
        """What clients are shown: what became of a one-off, else what was asked for, else whether more is to come."""
        if not self.recurring and self.slot is None and self.one_off is not None:
            shown = ONE_OFF_STATUS[self.one_off]
            # Between attempts nothing is under way: what was asked for since then shows.
            between = self.one_off in WAITING and self.phase != "active"
            return self.phase if between else shown
        if self.phase != "active":
            return self.phase
        if self.slot is not None:
            return "pending"
        return "executing" if self.open and self.recurring else "completed"

    @property
    def due_facts(self) -> tuple[Any, ...] | None:
        """What the slot's due row depends on: while this is the same, so is the row (whose id costs a hash)."""
        if self.slot is None or self.due_at is None or self.phase != "active":
            return None
        return (self.slot, self.due_at, self.priority, self.version, self.number, self.recipient_zone)

    def due(self) -> DueRow | None:
        """The row for the next slot."""
        if self.slot is None or self.due_at is None or self.phase != "active":
            return None
        return DueRow(
            "slot",
            self.id,
            self.shard,
            self.tenant,
            self.due_at,
            self.priority,
            self.id,
            self.version,
            occurrence_id(self.id, self.slot.local, self.slot.fold),
            0,
            self.slot,
            self.number,
            self.recipient_zone,
            "slot",
            False,
        )

    def waiting(self, row: DueRow) -> DueRow:
        """The row of an occurrence that waits by itself, as it is under this schedule's present state."""
        due_at = row.due_at
        if self.cancelled_at is not None and self.cancelled_at < due_at:
            # At once, so that the dispatcher records its end.
            due_at = self.cancelled_at
        return row._replace(
            due_at=due_at,
            priority=self.priority,
            schedule_version=self.version,
            held=self.phase == "paused",
        )


@dataclass(slots=True)
class Occurrence:
    """What became of a slot; the fields are the columns of `occurrences`."""

    id: UUID
    slot: Slot
    tenant: str
    shard: int
    schedule: UUID
    recipient_ref: str
    priority: int
    origin: Literal["slot", "trigger", "backfill"]
    status: str
    version: int
    due_at: datetime
    position: int
    number: int | None = None
    reason: str | None = None
    attempts: int = 0
    owner: int | None = None
    wake_at: datetime | None = None
    claimed_at: datetime | None = None
    ended_at: datetime | None = None
    late_ms: float | None = None
    duration_ms: float | None = None
    plan: str | None = None
    recipient_zone: str | None = None
    last_failure: str | None = None
    response: str | None = None
    reported: str | None = None
    engagement: str | None = None
    missed_count: int | None = None
    missed_to: Slot | None = None

    def due(self, standing: Standing) -> DueRow | None:
        """The row under which it waits by itself."""
        if self.wake_at is None or self.status not in WAITING:
            return None
        return standing.waiting(
            DueRow(
                "occurrence",
                self.id,
                self.shard,
                self.tenant,
                self.wake_at,
                self.priority,
                self.schedule,
                standing.version,
                self.id,
                self.version,
                self.slot,
                self.number,
                self.recipient_zone,
                self.origin,
                False,
            )
        )


def standing_of(record: Any) -> Standing:
    """A stored row of `standings`."""
    return Standing(
        id=record["id"],
        tenant=record["tenant"],
        shard=record["shard"],
        recipient_ref=record["recipient_ref"],
        recurring=record["recurring"],
        priority=record["priority"],
        created_at=record["created_at"],
        updated_at=record["updated_at"],
        position=record["position"],
        version=record["version"],
        phase=record["phase"],
        slot=_slot(record["slot"], record["fold"]),
        number=record["number"],
        due_at=record["due_at"],
        plan=record["plan"],
        zone=record["zone"],
        recipient_zone=record["recipient_zone"],
        skipped=record["skipped"],
        varied=record["varied"],
        open=record["open"],
        one_off=record["one_off"],
        one_off_id=record["one_off_id"],
        fired=record["fired"],
        missed=record["missed"],
        cancelled_at=record["cancelled_at"],
        executed_at=record["executed_at"],
        failure_reason=record["failure_reason"],
        conflict_key=record["conflict_key"],
    )


def occurrence_of(record: Any) -> Occurrence:
    """A stored row of `occurrences`."""
    return Occurrence(
        id=record["id"],
        slot=Slot(local=record["slot"], fold=record["fold"]),
        tenant=record["tenant"],
        shard=record["shard"],
        schedule=record["schedule"],
        recipient_ref=record["recipient_ref"],
        priority=record["priority"],
        origin=record["origin"],
        status=record["status"],
        version=record["version"],
        due_at=record["due_at"],
        position=record["position"],
        number=record["number"],
        reason=record["reason"],
        attempts=record["attempts"],
        owner=record["owner"],
        wake_at=record["wake_at"],
        claimed_at=record["claimed_at"],
        ended_at=record["ended_at"],
        late_ms=record["late_ms"],
        duration_ms=record["duration_ms"],
        plan=record["plan"],
        recipient_zone=record["recipient_zone"],
        last_failure=record["last_failure"],
        response=record["response"],
        reported=record["reported"],
        engagement=record["engagement"],
        missed_count=record["missed_count"],
        missed_to=_slot(record["missed_to"], record["missed_to_fold"]),
    )


def _slot(local: datetime | None, fold: int | None) -> Slot | None:
    return None if local is None else Slot(local=local, fold=fold or 0)
