"""From rows of the read models to answers."""

from __future__ import annotations

import json
from typing import Any

from pydantic import TypeAdapter

from horae.api.models.admin import KeyShown
from horae.api.models.occurrences import MissedRun, OccurrenceShown, TimelineShown
from horae.api.models.schedules import ChangedSlot, ScheduleShown
from horae.api.views import next_shown, slot_named
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.conflicts import ConflictPolicy, Settlement
from horae.domain.delivery import Delivery
from horae.projections import queries

_TIMING: TypeAdapter[t.Timing] = TypeAdapter(t.Timing)


def changed_since(row: queries.ScheduleRow) -> bool:
    """Does the next slot lie where more than the timing was changed from a slot on? What it has is in the log."""
    at = row.next
    return at is not None and any((slot.local, slot.fold) <= (at.slot.local, at.slot.fold) for slot in row.later)


def schedule_row_shown(row: queries.ScheduleRow, state: s.Schedule | None = None) -> ScheduleShown:
    """A schedule with where it stands. `state`: of one that `changed_since`, from the log."""
    shown = _shown(row)
    if state is None or row.next is None:
        return shown
    seen = state.as_series(row.next.slot)
    return shown.model_copy(
        update={
            **{name: getattr(seen.personal, name) for name in ("channel", "content", "tags", "metadata")},
            **{name: getattr(seen.definition, name) for name in ("priority", "delivery", "expires_after")},
        }
    )


def _shown(row: queries.ScheduleRow) -> ScheduleShown:
    return ScheduleShown.model_construct(
        id=row.id,
        version=row.version,
        position=row.position,
        status=row.status,
        next_due_at=row.next.due_at if row.next else None,
        next=next_shown(row.next) if row.next else None,
        recipient=row.recipient,
        channel=row.channel,
        content=json.loads(row.content),
        timing=_TIMING.validate_json(row.timing),
        priority=row.priority,
        delivery=Delivery.model_validate_json(row.delivery),
        expires_after=row.expires_after,
        tags=row.tags,
        metadata=json.loads(row.metadata),
        cloned_from=row.cloned_from,
        conflicts=None if row.conflicts is None else ConflictPolicy.model_validate_json(row.conflicts),
        settled=None if row.settled is None else Settlement.model_validate_json(row.settled),
        created_at=row.created_at,
        updated_at=row.updated_at,
        fired=row.fired,
        missed=row.missed,
        executed_at=row.executed_at,
        failure_reason=row.failure_reason,
        skipped=tuple(slot_named(slot) for slot in row.skipped),
        later=tuple(slot_named(slot) for slot in row.later),
        changes=tuple(
            ChangedSlot.model_construct(
                slot=slot.local.isoformat(),
                fold=slot.fold,
                due_at=moved_to,
                changed=changed,
                settled=None if settled is None else Settlement.model_validate(settled),
            )
            for slot, moved_to, changed, settled in row.changes
        ),
    )


def occurrence_row_shown(row: queries.OccurrenceRow) -> OccurrenceShown:
    """An occurrence with what became of it."""
    missed = None
    if row.missed_count is not None and row.missed_to is not None:
        missed = MissedRun.model_construct(
            count=row.missed_count, to=row.missed_to.local.isoformat(), to_fold=row.missed_to.fold
        )
    return OccurrenceShown.model_construct(
        id=row.id,
        schedule=row.schedule,
        recipient=row.recipient,
        channel=row.channel,
        slot=row.slot.local.isoformat(),
        fold=row.slot.fold,
        number=row.number,
        origin=row.origin,
        status=row.status,
        reason=row.reason,
        due_at=row.due_at,
        zone=row.plan.zone if row.plan else None,
        claimed_at=row.claimed_at,
        ended_at=row.ended_at,
        attempts=row.attempts,
        next_attempt_at=row.wake_at,
        late_ms=row.late_ms,
        duration_ms=row.duration_ms,
        priority=row.priority,
        reasons=list(row.plan.reasons) if row.plan else [],
        last_failure=_json(row.last_failure),
        response=_json(row.response),
        reported=_json(row.reported),
        engagement=_json(row.engagement),
        missed=missed,
        version=row.version,
        position=row.position,
    )


def timeline_row_shown(row: queries.TimelineEntry) -> TimelineShown:
    """One entry of a recipient's timeline."""
    return TimelineShown.model_construct(
        due_at=row.due_at,
        schedule=row.schedule,
        occurrence=row.occurrence,
        slot=row.slot.local.isoformat(),
        fold=row.slot.fold,
        status=row.status,
        channel=row.channel,
        priority=row.priority,
        reason=row.reason,
        ended_at=row.ended_at,
    )


def key_row_shown(row: queries.KeyRow, *, expired: bool) -> KeyShown:
    """A key, without its text."""
    status = "revoked" if row.revoked else "expired" if expired else "rotated" if row.successor else "active"
    return KeyShown.model_construct(
        id=row.id,
        prefix=row.prefix,
        label=row.label,
        scope=row.scope,
        status=status,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        rotated_from=row.rotated_from,
        successor=row.successor,
    )


def _json(text: str | None) -> Any:
    return None if text is None else json.loads(text)
