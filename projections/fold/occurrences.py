"""What the events of an occurrence change: its own row, and where its schedule's series stands."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from horae.domain import occurrence
from horae.domain.envelope import Event, Recorded
from horae.domain.timing import Next, Slot
from horae.projections.fold import habits
from horae.projections.fold.batch import Rows, Unapplicable, json_text
from horae.projections.rows import OPEN, Occurrence, Standing

_MS = timedelta(milliseconds=1)


def new_occurrence(
    event: Recorded,
    standing: Standing,
    occurrence_id: UUID,
    origin: Literal["slot", "trigger", "backfill"],
    slot: Slot,
    due_at: datetime,
    status: str,
) -> Occurrence:
    """A row for an occurrence that begins with this event."""
    return Occurrence(
        id=occurrence_id,
        slot=slot,
        tenant=standing.tenant,
        shard=standing.shard,
        schedule=standing.id,
        recipient_ref=standing.recipient_ref,
        priority=standing.priority,
        origin=origin,
        status=status,
        version=event.version,
        due_at=due_at,
        position=event.position,
    )


def set_plan(row: Occurrence, at: Next) -> None:
    """The occurrence was planned like this."""
    row.number = at.number
    row.plan = at.plan.model_dump_json(exclude_none=True)
    row.recipient_zone = at.plan.zone if at.plan.zone_source == "recipient" else None


def open_occurrence(fold: Rows, standing: Standing, row: Occurrence) -> None:
    """The occurrence is one of the schedule\'s that have not ended."""
    fold.occurrences[row.id] = row
    fold.touched.add(row.id)
    standing.open += 1


def close_unbegun(fold: Rows, standing: Standing, row: Occurrence) -> None:
    """The occurrence waits no longer, and nothing has happened to it."""
    _status(standing, row, "cancelled")
    row.wake_at = None
    fold.touched.add(row.id)


def _met(
    fold: Rows,
    event: Recorded,
    body: occurrence.OccurrenceClaimed | occurrence.OccurrenceDeferred | occurrence.OccurrenceEnded,
    status: str,
) -> tuple[Standing, Occurrence]:
    """The occurrence that a claim, deferral or end met at its slot: a new one, or one that waited by itself."""
    standing = fold.standing(event, body.schedule)
    row = fold.occurrences.get(event.stream)
    if row is None or (row.version == 0 and row.status not in OPEN):
        # Never there, or moved once and then back in its series.
        if body.slot is None or body.due_at is None or body.origin is None:
            raise Unapplicable(f"{body.name} at position {event.position} begins a stream but names no slot")
        row = new_occurrence(event, standing, event.stream, body.origin, body.slot, body.due_at, "waiting")
        row.number = body.number
        row.recipient_zone = _recipient_zone(standing, body.slot)
        open_occurrence(fold, standing, row)
    else:
        row = fold.occurrence(event)
    row.priority = body.priority
    if row.origin == "slot" and not standing.recurring and standing.slot == row.slot:
        standing.one_off_id = row.id
    _status(standing, row, status)
    if body.moves:
        standing.move_to(body.next if standing.phase == "active" else None)
    return standing, row


def _recipient_zone(standing: Standing, slot: Slot) -> str | None:
    return standing.recipient_zone if standing.slot == slot else None


def _status(standing: Standing, row: Occurrence, status: str) -> None:
    if row.status in OPEN and status not in OPEN:
        standing.open -= 1
    elif row.status not in OPEN and status in OPEN:
        standing.open += 1
    row.status = status
    if row.id == standing.one_off_id:
        # Not another one: it may be of the series that the schedule was before.
        standing.one_off = status


def _claimed(fold: Rows, event: Recorded, body: occurrence.OccurrenceClaimed) -> None:
    standing, row = _met(fold, event, body, "executing")
    row.attempts, row.owner, row.wake_at = 1, body.owner, None
    row.claimed_at = event.meta.recorded_at
    row.plan = body.plan.model_dump_json(exclude_none=True)
    row.recipient_zone = body.plan.zone if body.plan.zone_source == "recipient" else None
    standing.fired += 1
    standing.executed_at = event.meta.recorded_at


def _started(fold: Rows, event: Recorded, body: occurrence.AttemptStarted) -> None:
    standing, row = fold.standing(event, body.schedule), fold.occurrence(event)
    _status(standing, row, "executing")
    row.attempts, row.owner, row.wake_at = body.attempt, body.owner, None


def _failed(fold: Rows, event: Recorded, body: occurrence.AttemptFailed) -> None:
    standing, row = fold.standing(event, body.schedule), fold.occurrence(event)
    _status(standing, row, "retrying")
    row.owner, row.wake_at = None, body.retry_at
    row.last_failure = body.failure.model_dump_json(exclude_none=True)
    _attempted(row, body)
    standing.failure_reason = body.failure.message


def _attempted(row: Occurrence, body: occurrence.AttemptFailed | occurrence.OccurrenceEnded) -> None:
    if body.duration_ms is not None:
        row.duration_ms = body.duration_ms
    if row.late_ms is None and body.started_at is not None:
        row.late_ms = (body.started_at - row.due_at) / _MS


def _deferred(fold: Rows, event: Recorded, body: occurrence.OccurrenceDeferred) -> None:
    _, row = _met(fold, event, body, "deferred")
    row.wake_at, row.reason = body.until, f"{body.rule}: {body.reason}"


def _backfilled(fold: Rows, event: Recorded, body: occurrence.OccurrenceBackfilled) -> None:
    standing, row = fold.standing(event, body.schedule), fold.occurrences.get(event.stream)
    if row is None or (row.version == 0 and row.status not in OPEN):
        # Never there, or moved once and then back in its series.
        row = new_occurrence(event, standing, event.stream, "backfill", body.slot, body.due_at, "deferred")
        open_occurrence(fold, standing, row)
    else:
        row = fold.occurrence(event)
        _status(standing, row, "deferred")
    row.origin, row.number, row.priority = "backfill", body.number, body.priority
    row.due_at = row.wake_at = body.due_at
    row.plan = body.plan.model_dump_json(exclude_none=True)
    row.recipient_zone = body.plan.zone if body.plan.zone_source == "recipient" else None
    row.reason, row.ended_at = f"backfill {body.backfill}", None


def _missed(fold: Rows, event: Recorded, body: occurrence.OccurrenceMissed) -> None:
    standing = fold.standing(event, body.schedule)
    row = new_occurrence(event, standing, event.stream, "slot", body.slot, body.due_at, "missed")
    row.recipient_zone = _recipient_zone(standing, body.slot)
    row.reason = f"not claimed in time; policy {body.policy}"
    row.missed_count, row.missed_to = body.count, body.to
    row.ended_at = event.meta.recorded_at
    fold.occurrences[row.id] = row
    fold.touched.add(row.id)
    standing.missed += body.count
    standing.move_to(body.next if standing.phase == "active" else None)


def _ended(fold: Rows, event: Recorded, body: occurrence.OccurrenceEnded) -> None:
    standing, row = _met(fold, event, body, body.outcome.value)
    row.attempts, row.owner, row.wake_at = body.attempt, None, None
    row.ended_at, row.reason = event.meta.recorded_at, body.reason
    _attempted(row, body)
    if body.plan is not None:
        row.plan = body.plan.model_dump_json(exclude_none=True)
    if body.response is not None:
        row.response = json_text(body.response)
    standing.failure_reason = None if body.outcome is occurrence.Outcome.DELIVERED else body.reason
    if body.outcome is occurrence.Outcome.DELIVERED:
        habits.delivered(fold, event, body, row)


def _replayed(fold: Rows, event: Recorded, body: occurrence.OccurrenceReplayed) -> None:
    standing, row = fold.standing(event, body.schedule), fold.occurrence(event)
    _status(standing, row, "retrying")
    row.wake_at, row.ended_at = body.due_at, None


def _passed(fold: Rows, event: Recorded, body: occurrence.SlotPassed) -> None:
    standing, row = fold.standing(event, body.schedule), fold.occurrence(event)
    if row.origin == "slot" and not standing.recurring and standing.slot == row.slot:
        # The series that it was before had the same slot.
        standing.one_off_id, standing.one_off = row.id, row.status
    standing.move_to(body.next if standing.phase == "active" else None)


def _reported(fold: Rows, event: Recorded, body: occurrence.DeliveryReported) -> None:
    fold.standing(event, body.schedule)
    row = fold.occurrence(event)
    row.reported = body.model_dump_json(include={"status", "at", "detail"}, exclude_none=True)


HANDLERS: dict[type[Event], Any] = {
    occurrence.OccurrenceClaimed: _claimed,
    occurrence.AttemptStarted: _started,
    occurrence.AttemptFailed: _failed,
    occurrence.OccurrenceDeferred: _deferred,
    occurrence.OccurrenceBackfilled: _backfilled,
    occurrence.OccurrenceMissed: _missed,
    occurrence.OccurrenceEnded: _ended,
    occurrence.OccurrenceReplayed: _replayed,
    occurrence.SlotPassed: _passed,
    occurrence.DeliveryReported: _reported,
}
