"""Dead letters: occurrences that ended without delivery; look at them, and ask for another attempt."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import Field

from horae.api import openapi
from horae.api.auth import caller_of
from horae.api.bodies import query, read_model
from horae.api.errors import problem, request_id_of
from horae.api.models.occurrences import (
    OccurrenceList,
    OccurrenceShown,
    OccurrenceWritten,
    ReplayFilter,
    ReplayItem,
    ReplayShown,
)
from horae.api.models.schedules import Reasoned
from horae.api.reading import Many, PageQuery, ReadQuery, read_models, services_of
from horae.api.rows import occurrence_row_shown
from horae.api.views import call_of, occurrence_written, respond
from horae.domain.errors import HoraeError, NotFound
from horae.domain.key import Scope
from horae.domain.timing.values import Instant
from horae.projections import queries

router = APIRouter(tags=["dead letters"])

DEAD = frozenset({"dead_lettered", "unknown"})


class DeadLettersQuery(PageQuery):
    """Which dead letters."""

    schedule: UUID | None = Field(default=None, description="Only those of this schedule.")
    status: Many[Literal["dead_lettered", "unknown"]] = Field(default=("dead_lettered", "unknown"), description="How.")
    ended_from: Instant | None = Field(default=None, description="Ended at or after this instant.")
    ended_to: Instant | None = Field(default=None, description="Ended before this instant.")


@router.get("/v1/dead-letters", **openapi.operation("List dead letters", answer=OccurrenceList, query=DeadLettersQuery))
async def list_dead_letters(request: Request) -> Response:
    """Occurrences that ended `dead_lettered` or `unknown`, newest first."""
    caller = caller_of(request, Scope.READ)
    asked = query(request, DeadLettersQuery)
    async with read_models(request, caller, asked.min_position) as conn:
        page = await queries.list_dead_letters(
            conn,
            caller.tenant,
            status=asked.status,
            schedule=asked.schedule,
            ended_from=asked.ended_from,
            ended_to=asked.ended_to,
            cursor=asked.cursor,
            limit=asked.limit,
        )
    items = [occurrence_row_shown(row) for row in page.items]
    return respond(OccurrenceList.model_construct(items=items, next=page.next))


@router.get(
    "/v1/dead-letters/{occurrence_id}",
    **openapi.operation("Get a dead letter", answer=OccurrenceShown, query=ReadQuery),
)
async def get_dead_letter(request: Request, occurrence_id: UUID) -> Response:
    """404 once it was replayed and delivered."""
    caller = caller_of(request, Scope.READ)
    asked = query(request, ReadQuery)
    async with read_models(request, caller, asked.min_position) as conn:
        row = await queries.get_occurrence(conn, caller.tenant, occurrence_id)
    if row is None or row.status not in DEAD:
        raise NotFound(
            "There is no such dead letter.",
            field="occurrence_id",
            value=str(occurrence_id),
            hint="List them: GET /v1/dead-letters.",
        )
    return respond(occurrence_row_shown(row))


@router.post(
    "/v1/dead-letters/{occurrence_id}/replay",
    **openapi.operation(
        "Replay a dead letter",
        body=Reasoned,
        answer=OccurrenceWritten,
        scope=Scope.WRITE,
        status=202,
        errors=(409,),
        idempotent=True,
    ),
)
async def replay_dead_letter(request: Request, occurrence_id: UUID) -> Response:
    """A new attempt under the same id, at once; the last outcome counts."""
    caller = caller_of(request, Scope.WRITE)
    body, plain = await read_model(request, Reasoned)
    answer = await services_of(request).occurrences.replay(
        call_of(request, caller, plain), occurrence_id, reason=body.reason
    )
    return respond(occurrence_written(answer), 202)


@router.post(
    "/v1/dead-letters/replay",
    **openapi.operation(
        "Replay many dead letters",
        body=ReplayFilter,
        answer=ReplayShown,
        scope=Scope.WRITE,
        status=202,
        idempotent=True,
        examples={"all of a schedule": {"schedule": "01936f3e-5b70-7cc4-a8d1-5f1e3c9d2a10", "limit": 100}},
    ),
)
async def replay_dead_letters(request: Request) -> Response:
    """Each for itself: one that cannot be replayed harms no other. Send it again while `more` is true."""
    caller = caller_of(request, Scope.WRITE)
    body, plain = await read_model(request, ReplayFilter)
    services, call = services_of(request), call_of(request, caller, plain)
    async with read_models(request, caller) as conn:
        page = await queries.list_dead_letters(
            conn,
            caller.tenant,
            schedule=body.schedule,
            ended_from=body.ended_from,
            ended_to=body.ended_to,
            limit=body.limit,
        )
    items: list[ReplayItem] = []
    position: int | None = None
    for row in page.items:
        try:
            answer = await services.occurrences.replay(call, row.id, reason=body.reason)
        except HoraeError as error:
            document = problem(error, instance=f"/v1/dead-letters/{row.id}/replay", request_id=request_id_of(request))
            items.append(ReplayItem.model_construct(id=row.id, status=document["status"], error=document))
        else:
            position = max(position or 0, answer.position)
            items.append(ReplayItem.model_construct(id=row.id, status=202))
    replayed = sum(item.error is None for item in items)
    shown = ReplayShown.model_construct(
        replayed=replayed,
        refused=len(items) - replayed,
        position=position,
        items=items,
        more=page.next is not None,
    )
    return respond(shown, 202)
