"""From states and rows to answers: the bytes of a response are built once, without a second validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from horae.api.auth import Caller
from horae.api.bodies import idempotency_key
from horae.api.errors import request_id_of
from horae.api.models.occurrences import OccurrenceWritten
from horae.api.models.schedules import ChangedSlot, NextShown, ScheduleShown, SkippedShown, SlotNamed
from horae.commands.context import Answer, Call, digest_of
from horae.domain import occurrence as o
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.projections.rows import ONE_OFF_STATUS, OPEN

JSON = "application/json"


def call_of(request: Request, caller: Caller, body: Any = None) -> Call:
    """The request as command handlers know it; the digest is made only where a key could ask for it."""
    key = idempotency_key(request)
    digest = None if key is None else digest_of([request.method, request.url.path, body])
    return Call(
        tenant=caller.tenant,
        actor=caller.actor,
        request_id=request_id_of(request),
        idempotency_key=key,
        digest=digest,
    )


def respond(model: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`model` as JSON; absent optional fields are null, so that every answer of a kind has the same members."""
    return Response(model.model_dump_json(), status, headers, JSON)


def etag(version: int) -> dict[str, str]:
    """The headers that name a version."""
    return {"ETag": f'"{version}"'}


def created_headers(answer: Answer[s.Schedule]) -> dict[str, str]:
    """Of an answer to a creation. A repeat gets the first answer again, status and all; one header tells it apart."""
    repeat = {"Idempotent-Replayed": "true"} if answer.replayed else {}
    return {**etag(answer.version), **repeat, "Location": f"/v1/schedules/{answer.id}"}


def next_shown(at: t.Next) -> NextShown:
    """A slot as clients see it."""
    plan = at.plan
    return NextShown.model_construct(
        slot=at.slot.local.isoformat(),
        fold=at.slot.fold,
        number=at.number,
        due_at=at.due_at,
        zone=plan.zone,
        zone_source=plan.zone_source,
        tzdata=plan.tzdata,
        branch=plan.branch,
        calendar=plan.calendar,
        jitter_s=plan.jitter_s,
        reasons=plan.reasons,
    )


def skipped_shown(skipped: Sequence[t.SkippedSlot]) -> list[SkippedShown]:
    """Passed-over times as clients see them."""
    return [
        SkippedShown.model_construct(slot=item.slot.local.isoformat(), fold=item.slot.fold, reason=item.reason)
        for item in skipped
    ]


def slot_named(slot: t.Slot) -> SlotNamed:
    """A slot by its local time."""
    return SlotNamed.model_construct(slot=slot.local, fold=slot.fold)


_STATUS = {s.Status.ACTIVE: "pending", s.Status.PAUSED: "paused", s.Status.CANCELLED: "cancelled"}


def schedule_shown(answer: Answer[s.Schedule], already_claimed: list[UUID] | None = None) -> ScheduleShown:
    """A schedule as a command left it. Its `next` is what the command named; firing may be further already."""
    state = answer.state
    active = state.status is s.Status.ACTIVE and answer.one_off is None
    at = state.next if active else None
    if answer.one_off is not None and (state.status is s.Status.ACTIVE or answer.one_off not in OPEN):
        status = ONE_OFF_STATUS[answer.one_off]
    else:
        status = _STATUS[state.status] if not active or at is not None else "completed"
    seen = state if at is None else state.as_series(at.slot)
    personal, definition = seen.personal, seen.definition
    return ScheduleShown.model_construct(
        id=answer.id,
        version=answer.version,
        position=answer.position,
        status=status,
        next_due_at=at.due_at if at else None,
        next=next_shown(at) if at else None,
        recipient=personal.recipient,
        channel=personal.channel,
        content=personal.content,
        timing=definition.timing,
        priority=definition.priority,
        delivery=definition.delivery,
        expires_after=definition.expires_after,
        tags=personal.tags,
        metadata=personal.metadata,
        cloned_from=state.cloned_from,
        conflicts=definition.conflicts,
        settled=state.settled,
        created_at=answer.created_at,
        updated_at=answer.updated_at,
        skipped=tuple(slot_named(slot) for slot in sorted(state.exceptions, key=lambda slot: (slot.local, slot.fold))),
        later=tuple(slot_named(later.since) for later in state.later),
        changes=tuple(
            ChangedSlot.model_construct(
                slot=slot.local.isoformat(),
                fold=slot.fold,
                due_at=own.at.due_at if own.at else None,
                changed=own.changed,
                settled=own.settled,
            )
            for slot, own in sorted(state.changes.items(), key=lambda item: (item[0].local, item[0].fold))
        ),
        already_claimed=answer.already_claimed if already_claimed is None else already_claimed,
        replayed=answer.replayed,
    )


def occurrence_written(answer: Answer[o.Occurrence]) -> OccurrenceWritten:
    """An occurrence as a command left it."""
    state = answer.state
    ended = state.phase is o.Phase.ENDED and state.outcome is not None
    return OccurrenceWritten.model_construct(
        id=answer.id,
        schedule=state.schedule,
        version=answer.version,
        position=answer.position,
        status=state.outcome.value if ended and state.outcome else state.phase.value,
        attempts=state.attempt,
        next_attempt_at=state.wake_at,
        replayed=answer.replayed,
    )
