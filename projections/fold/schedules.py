"""What clients' events of a schedule change: its definition, where it stands, and occurrences that were triggered.

Changes, and single slots taken out, put back or changed, are in `varying`.
"""

from __future__ import annotations

from typing import Any

from horae.domain import schedule
from horae.domain.envelope import Event, Recorded
from horae.domain.timing import Every
from horae.domain.timing.calendared import calendar_id
from horae.projections.fold.batch import Rows, json_text
from horae.projections.fold.occurrences import new_occurrence, open_occurrence, set_plan
from horae.projections.rows import Standing
from horae.projections.search.documents import schedule_texts


def define(fold: Rows, standing: Standing, body: schedule.ScheduleCreated | schedule.ScheduleChanged) -> None:
    """The schedule's row, as this event says."""
    personal, definition, timing = body.personal, body.definition, body.definition.timing
    kind = personal.metadata.get("type")
    prior = fold.schedules.get(standing.id)
    cloned_from = body.cloned_from if isinstance(body, schedule.ScheduleCreated) else prior and prior[14]
    standing.recurring = isinstance(timing, Every)
    standing.priority = definition.priority
    standing.conflict_key = definition.conflicts.key if definition.conflicts is not None else None
    fold.schedules[standing.id] = (
        standing.id,
        standing.tenant,
        personal.recipient,
        standing.recipient_ref,
        personal.channel,
        definition.priority,
        timing.kind,
        kind if isinstance(kind, str) else None,
        list(personal.tags),
        timing.model_dump_json(exclude_none=True),
        definition.delivery.model_dump_json(),
        None if definition.expires_after is None else definition.expires_after.total_seconds(),
        json_text(personal.content),
        json_text(personal.metadata),
        cloned_from,
        standing.created_at,
        standing.position,
        calendar_id(timing),
        None if definition.conflicts is None else definition.conflicts.model_dump_json(),
        None if body.settled is None else body.settled.model_dump_json(exclude_none=True),
    )
    fold.words[standing.id] = schedule_texts(
        personal.recipient, personal.channel, personal.tags, personal.content, personal.metadata
    )
    fold.tags[standing.id] = personal.tags
    fold.timings[standing.id] = timing
    fold.retimed.pop(standing.id, None)


def _created(fold: Rows, event: Recorded, body: schedule.ScheduleCreated) -> None:
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
    define(fold, standing, body)
    standing.move_to(body.next)


def asked(fold: Rows, event: Recorded) -> Standing:
    """Where the schedule stands, a client having asked something of it."""
    standing = fold.standing(event, event.stream)
    standing.version, standing.updated_at = event.version, event.meta.recorded_at
    return standing


def _paused(fold: Rows, event: Recorded, _body: schedule.SchedulePaused) -> None:
    standing = asked(fold, event)
    standing.phase = "paused"
    standing.move_to(None)


def _resumed(fold: Rows, event: Recorded, body: schedule.ScheduleResumed) -> None:
    standing = asked(fold, event)
    standing.phase = "active"
    standing.move_to(body.next)


def _cancelled(fold: Rows, event: Recorded, _body: schedule.ScheduleCancelled) -> None:
    standing = asked(fold, event)
    standing.phase, standing.cancelled_at = "cancelled", event.meta.recorded_at
    standing.move_to(None)


def _replanned(fold: Rows, event: Recorded, body: schedule.ScheduleReplanned) -> None:
    asked(fold, event).move_to(body.next)


def _backfilled(fold: Rows, event: Recorded, _body: schedule.ScheduleBackfilled) -> None:
    asked(fold, event)


def _triggered(fold: Rows, event: Recorded, body: schedule.ScheduleTriggered) -> None:
    standing = asked(fold, event)
    at = body.at
    row = new_occurrence(event, standing, body.occurrence, "trigger", at.slot, at.due_at, "waiting")
    row.version, row.wake_at = 0, at.due_at
    set_plan(row, at)
    open_occurrence(fold, standing, row)


HANDLERS: dict[type[Event], Any] = {
    schedule.ScheduleCreated: _created,
    schedule.SchedulePaused: _paused,
    schedule.ScheduleResumed: _resumed,
    schedule.ScheduleCancelled: _cancelled,
    schedule.ScheduleTriggered: _triggered,
    schedule.ScheduleBackfilled: _backfilled,
    schedule.ScheduleReplanned: _replanned,
}
