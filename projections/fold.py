"""Events to rows: what each event changes. No clock, no zone data, no randomness: the same log gives the same rows.

Place in the flow: `projector` gives a batch's prior rows, calls `fold` for each event in order, and
writes what changed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from horae.domain import key, occurrence, recipient, schedule
from horae.domain.envelope import Event, Recorded
from horae.domain.schedule.state import same_rule
from horae.domain.timing import Every, Next, Slot, Timing
from horae.projections.due import DueRow
from horae.projections.rows import OPEN, Occurrence, Standing

_MS = timedelta(milliseconds=1)


class Unapplicable(ValueError):
    """An event that contradicts what came before it. Its family is parked; nothing else waits for it."""


@dataclass(slots=True)
class Fold:
    """The rows of one batch: prior ones as read, then as folded."""

    standings: dict[UUID, Standing] = field(default_factory=dict)
    occurrences: dict[UUID, Occurrence] = field(default_factory=dict)
    #: Of prior standings: what their slot's due row depended on; None: they had none.
    slot_before: dict[UUID, tuple[Any, ...] | None] = field(default_factory=dict)
    #: Due rows of occurrences as they were stored: of the batch's, and of what waits under schedules clients touched.
    due_before: dict[UUID, DueRow] = field(default_factory=dict)
    #: Rows of `schedules` to be written, in the order of its statement's parameters.
    schedules: dict[UUID, tuple[Any, ...]] = field(default_factory=dict)
    tags: dict[UUID, tuple[str, ...]] = field(default_factory=dict)
    #: Of schedules whose definition the batch makes or changes.
    timings: dict[UUID, Timing] = field(default_factory=dict)
    recipients: dict[tuple[str, str], tuple[Any, ...]] = field(default_factory=dict)
    keys_issued: list[tuple[Any, ...]] = field(default_factory=list)
    keys_rotated: list[tuple[Any, ...]] = field(default_factory=list)
    keys_revoked: list[tuple[Any, ...]] = field(default_factory=list)
    #: Schedules and occurrences that an event touched; the others were only read.
    touched: set[UUID] = field(default_factory=set)

    def apply(self, event: Recorded) -> None:
        """Fold one event in. Raises `Unapplicable` (or another error of bad data)."""
        handler = _HANDLERS.get(type(event.body))
        if handler is None:
            raise Unapplicable(f"no projection knows {event.body.name}")
        handler(self, event, event.body)

    def standing(self, event: Recorded, schedule_id: UUID) -> Standing:
        """The schedule's row, marked as touched by this event."""
        standing = self.standings.get(schedule_id)
        if standing is None:
            raise Unapplicable(f"{event.body.name} at position {event.position}: schedule {schedule_id} is unknown")
        standing.position = event.position
        self.touched.add(schedule_id)
        return standing

    def occurrence(self, event: Recorded) -> Occurrence:
        """The occurrence's row, raised to the event's version."""
        row = self.occurrences.get(event.stream)
        if row is None:
            raise Unapplicable(f"{event.body.name} at position {event.position}: occurrence {event.stream} is unknown")
        row.version, row.position = event.version, event.position
        self.touched.add(row.id)
        return row


# --- schedules ------------------------------------------------------------------------------------------------


def _definition(fold: Fold, standing: Standing, body: schedule.ScheduleCreated | schedule.ScheduleChanged) -> None:
    personal, definition, timing = body.personal, body.definition, body.definition.timing
    kind = personal.metadata.get("type")
    prior = fold.schedules.get(standing.id)
    cloned_from = body.cloned_from if isinstance(body, schedule.ScheduleCreated) else prior and prior[14]
    standing.recurring = isinstance(timing, Every)
    standing.priority = definition.priority
    fold.schedules[standing.id] = (
        standing.id,
        standing.tenant,
        personal.recipient,
        standing.recipient_ref,
        personal.channel,
        definition.priority,
        timing.kind,
        kind if isinstance(kind, str) else None,
        _json(personal.tags),
        timing.model_dump_json(exclude_none=True),
        definition.delivery.model_dump_json(),
        None if definition.expires_after is None else definition.expires_after.total_seconds(),
        _json(personal.content),
        _json(personal.metadata),
        cloned_from,
        standing.created_at,
    )
    fold.tags[standing.id] = personal.tags
    fold.timings[standing.id] = timing


def _created(fold: Fold, event: Recorded, body: schedule.ScheduleCreated) -> None:
    meta = event.meta
    standing = Standing(
        id=event.stream,
        tenant=meta.tenant,
        shard=meta.shard,
        recipient_ref=body.recipient_ref,
        recurring=False,
        priority=body.definition.priority,
        created_at=meta.recorded_at,
        updated_at=meta.recorded_at,
        position=event.position,
    )
    fold.standings[event.stream] = standing
    fold.touched.add(event.stream)
    _definition(fold, standing, body)
    standing.move_to(body.next)


def _asked(fold: Fold, event: Recorded) -> Standing:
    standing = fold.standing(event, event.stream)
    standing.version, standing.updated_at = event.version, event.meta.recorded_at
    return standing


def _changed(fold: Fold, event: Recorded, body: schedule.ScheduleChanged) -> None:
    standing = _asked(fold, event)
    if not same_rule(body.definition.timing, fold.timings[event.stream]):
        # Skipped slots are slots of the rule.
        standing.skipped = "[]"
    _definition(fold, standing, body)
    if not body.next_unchanged:
        # Another timing: what became of the old one's slot is its occurrence's to tell.
        standing.one_off = None
        standing.move_to(body.next)


def _paused(fold: Fold, event: Recorded, _body: schedule.SchedulePaused) -> None:
    standing = _asked(fold, event)
    standing.phase = "paused"
    standing.move_to(None)


def _resumed(fold: Fold, event: Recorded, body: schedule.ScheduleResumed) -> None:
    standing = _asked(fold, event)
    standing.phase = "active"
    standing.move_to(body.next)


def _cancelled(fold: Fold, event: Recorded, _body: schedule.ScheduleCancelled) -> None:
    standing = _asked(fold, event)
    standing.phase, standing.cancelled_at = "cancelled", event.meta.recorded_at
    standing.move_to(None)


def _slot_changed(fold: Fold, event: Recorded, body: schedule.SlotSkipped | schedule.SlotUnskipped) -> None:
    standing = _asked(fold, event)
    slots = {(local, fold_) for local, fold_ in json.loads(standing.skipped)}
    named = {(body.slot.local.isoformat(), body.slot.fold)}
    standing.skipped = _json(sorted(slots | named if isinstance(body, schedule.SlotSkipped) else slots - named))
    if not body.next_unchanged:
        standing.move_to(body.next)


def _triggered(fold: Fold, event: Recorded, body: schedule.ScheduleTriggered) -> None:
    standing = _asked(fold, event)
    at = body.at
    row = _new_occurrence(event, standing, body.occurrence, "trigger", at.slot, at.due_at, "waiting")
    row.version, row.wake_at = 0, at.due_at
    _plan(row, at)
    _open(fold, standing, row)


# --- occurrences ----------------------------------------------------------------------------------------------


def _new_occurrence(
    event: Recorded,
    standing: Standing,
    occurrence_id: UUID,
    origin: Literal["slot", "trigger"],
    slot: Slot,
    due_at: datetime,
    status: str,
) -> Occurrence:
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


def _plan(row: Occurrence, at: Next) -> None:
    row.number = at.number
    row.plan = at.plan.model_dump_json(exclude_none=True)
    row.recipient_zone = at.plan.zone if at.plan.zone_source == "recipient" else None


def _open(fold: Fold, standing: Standing, row: Occurrence) -> None:
    fold.occurrences[row.id] = row
    fold.touched.add(row.id)
    standing.open += 1


def _met(
    fold: Fold,
    event: Recorded,
    body: occurrence.OccurrenceClaimed | occurrence.OccurrenceDeferred | occurrence.OccurrenceEnded,
    status: str,
) -> tuple[Standing, Occurrence]:
    """The occurrence that a claim, deferral or end met at its slot: a new one, or one that waited by itself."""
    standing = fold.standing(event, body.schedule)
    row = fold.occurrences.get(event.stream)
    if row is None:
        if body.slot is None or body.due_at is None or body.origin is None:
            raise Unapplicable(f"{body.name} at position {event.position} begins a stream but names no slot")
        row = _new_occurrence(event, standing, event.stream, body.origin, body.slot, body.due_at, "waiting")
        row.number = body.number
        row.recipient_zone = _recipient_zone(standing, body.slot)
        _open(fold, standing, row)
    else:
        row = fold.occurrence(event)
    row.priority = body.priority
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
    if row.origin == "slot" and not standing.recurring:
        standing.one_off = status


def _claimed(fold: Fold, event: Recorded, body: occurrence.OccurrenceClaimed) -> None:
    standing, row = _met(fold, event, body, "executing")
    row.attempts, row.owner, row.wake_at = 1, body.owner, None
    row.claimed_at = event.meta.recorded_at
    row.plan = body.plan.model_dump_json(exclude_none=True)
    row.recipient_zone = body.plan.zone if body.plan.zone_source == "recipient" else None
    standing.fired += 1
    standing.executed_at = event.meta.recorded_at


def _started(fold: Fold, event: Recorded, body: occurrence.AttemptStarted) -> None:
    standing, row = fold.standing(event, body.schedule), fold.occurrence(event)
    _status(standing, row, "executing")
    row.attempts, row.owner, row.wake_at = body.attempt, body.owner, None


def _failed(fold: Fold, event: Recorded, body: occurrence.AttemptFailed) -> None:
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


def _deferred(fold: Fold, event: Recorded, body: occurrence.OccurrenceDeferred) -> None:
    _, row = _met(fold, event, body, "deferred")
    row.wake_at, row.reason = body.until, f"{body.rule}: {body.reason}"


def _missed(fold: Fold, event: Recorded, body: occurrence.OccurrenceMissed) -> None:
    standing = fold.standing(event, body.schedule)
    row = _new_occurrence(event, standing, event.stream, "slot", body.slot, body.due_at, "missed")
    row.recipient_zone = _recipient_zone(standing, body.slot)
    row.reason = f"not claimed in time; policy {body.policy}"
    row.missed_count, row.missed_to = body.count, body.to
    row.ended_at = event.meta.recorded_at
    fold.occurrences[row.id] = row
    fold.touched.add(row.id)
    standing.missed += body.count
    standing.move_to(body.next if standing.phase == "active" else None)


def _ended(fold: Fold, event: Recorded, body: occurrence.OccurrenceEnded) -> None:
    standing, row = _met(fold, event, body, body.outcome.value)
    row.attempts, row.owner, row.wake_at = body.attempt, None, None
    row.ended_at, row.reason = event.meta.recorded_at, body.reason
    _attempted(row, body)
    if body.plan is not None:
        row.plan = body.plan.model_dump_json(exclude_none=True)
    if body.response is not None:
        row.response = _json(body.response)
    standing.failure_reason = None if body.outcome is occurrence.Outcome.DELIVERED else body.reason


def _replayed(fold: Fold, event: Recorded, body: occurrence.OccurrenceReplayed) -> None:
    standing, row = fold.standing(event, body.schedule), fold.occurrence(event)
    _status(standing, row, "retrying")
    row.wake_at, row.ended_at = body.due_at, None


def _passed(fold: Fold, event: Recorded, body: occurrence.SlotPassed) -> None:
    standing, _ = fold.standing(event, body.schedule), fold.occurrence(event)
    standing.move_to(body.next if standing.phase == "active" else None)


def _reported(fold: Fold, event: Recorded, body: occurrence.DeliveryReported) -> None:
    fold.standing(event, body.schedule)
    row = fold.occurrence(event)
    row.reported = body.model_dump_json(include={"status", "at", "detail"}, exclude_none=True)


# --- recipients and keys --------------------------------------------------------------------------------------


def _recipient(fold: Fold, event: Recorded, body: recipient.RecipientSet) -> None:
    profile, meta = body.personal, event.meta
    prior = fold.recipients.get((meta.tenant, profile.id))
    fold.recipients[meta.tenant, profile.id] = (
        meta.tenant,
        profile.id,
        body.recipient_ref,
        profile.zone,
        profile.locale,
        _json(profile.attributes),
        event.version,
        prior[7] if prior else meta.recorded_at,
        meta.recorded_at,
        event.position,
    )


def _issued(fold: Fold, event: Recorded, body: key.KeyIssued) -> None:
    fold.keys_issued.append(
        (
            event.stream,
            event.meta.tenant,
            body.sha256,
            body.prefix,
            body.label,
            body.scope.value,
            event.meta.recorded_at,
            body.expires_at,
            body.rotated_from,
            event.version,
            event.position,
        )
    )


def _rotated(fold: Fold, event: Recorded, body: key.KeyRotated) -> None:
    fold.keys_rotated.append((event.stream, body.successor, body.expires_at, event.version, event.position))


def _revoked(fold: Fold, event: Recorded, _body: key.KeyRevoked) -> None:
    fold.keys_revoked.append((event.stream, event.meta.recorded_at, event.version, event.position))


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


_HANDLERS: dict[type[Event], Any] = {
    schedule.ScheduleCreated: _created,
    schedule.ScheduleChanged: _changed,
    schedule.SchedulePaused: _paused,
    schedule.ScheduleResumed: _resumed,
    schedule.ScheduleCancelled: _cancelled,
    schedule.SlotSkipped: _slot_changed,
    schedule.SlotUnskipped: _slot_changed,
    schedule.ScheduleTriggered: _triggered,
    occurrence.OccurrenceClaimed: _claimed,
    occurrence.AttemptStarted: _started,
    occurrence.AttemptFailed: _failed,
    occurrence.OccurrenceDeferred: _deferred,
    occurrence.OccurrenceMissed: _missed,
    occurrence.OccurrenceEnded: _ended,
    occurrence.OccurrenceReplayed: _replayed,
    occurrence.SlotPassed: _passed,
    occurrence.DeliveryReported: _reported,
    recipient.RecipientSet: _recipient,
    key.KeyIssued: _issued,
    key.KeyRotated: _rotated,
    key.KeyRevoked: _revoked,
}


def family(event: Recorded) -> UUID:
    """What shares rows with this event: the schedule of a schedule's or occurrence's event, else its own stream."""
    owner = getattr(event.body, "schedule", None)
    return owner if isinstance(owner, UUID) else event.stream
