"""Backfill: send slots of the past that were not sent."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import Field

from horae.api import openapi
from horae.api.auth import caller_of
from horae.api.bodies import query, read_model
from horae.api.models.backfills import EXAMPLES, BackfillAsked, BackfilledSlot, BackfillShown, SlotLeftOut
from horae.api.reading import ReadQuery, services_of
from horae.api.views import call_of, etag, respond
from horae.commands.backfills import Backfilled, Window
from horae.domain.key import Scope

router = APIRouter(tags=["changing schedules"])


class BackfillQuery(ReadQuery):
    """Whether to do it."""

    dry_run: bool = Field(default=False, description="Only tell which slots would be sent.")


@router.post(
    "/v1/schedules/{schedule_id}/backfill",
    **openapi.operation(
        "Send what was not sent",
        body=BackfillAsked,
        answer=BackfillShown,
        query=BackfillQuery,
        scope=Scope.WRITE,
        errors=(409,),
        idempotent=True,
        examples=EXAMPLES,
    ),
)
async def backfill_schedule(request: Request, schedule_id: UUID) -> Response:
    """Each slot of the window by the timing that was in force when it came due. Asked twice, it is sent once."""
    caller = caller_of(request, Scope.WRITE)
    asked = query(request, BackfillQuery)
    body, plain = await read_model(request, BackfillAsked)
    window = Window(
        begin=body.from_, end=body.to, include=frozenset(body.include), every=body.every, reason=body.reason
    )
    call = call_of(request, caller, plain)
    done = await services_of(request).schedules.backfill(call, schedule_id, window, dry_run=asked.dry_run)
    return respond(_shown(done, asked.dry_run), headers=etag(done.answer.version))


def _shown(done: Backfilled, dry_run: bool) -> BackfillShown:
    return BackfillShown.model_construct(
        schedule=done.answer.id,
        backfill=done.backfill,
        dry_run=dry_run,
        version=done.answer.version,
        position=done.answer.position,
        slots=[
            BackfilledSlot.model_construct(
                slot=each.at.slot.local.isoformat(),
                fold=each.at.slot.fold,
                occurrence=each.occurrence,
                was_due_at=each.at.due_at,
                due_at=each.due_at,
            )
            for each in done.slots
        ],
        left_out=[
            SlotLeftOut.model_construct(
                slot=each.at.slot.local.isoformat(),
                fold=each.at.slot.fold,
                occurrence=each.occurrence,
                was_due_at=each.at.due_at,
                why=each.why,
            )
            for each in done.left_out
        ],
        replayed=done.answer.replayed,
    )
