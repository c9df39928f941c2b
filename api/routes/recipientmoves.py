"""What became of planned slots when a recipient's zone changed, and taking that back."""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Request, Response

from horae.api import openapi
from horae.api.auth import caller_of
from horae.api.bodies import query
from horae.api.models.zonechanges import RecipientMoveUndone, ZoneChangeList, ZoneReport
from horae.api.reading import PageQuery, ReadQuery, services_of
from horae.api.replanning import replanned_shown
from horae.api.routes.recipients import checked_id
from horae.api.views import call_of, respond
from horae.api.zonereports import change_shown, changes_shown, place_of, report_shown
from horae.domain.key import Scope

router = APIRouter(tags=["recipients"])


@router.get(
    "/v1/recipients/{recipient_id}/moves",
    **openapi.operation("List the moves of a recipient", answer=ZoneChangeList, query=PageQuery),
)
async def list_moves(request: Request, recipient_id: str) -> Response:
    """Changes of their zone that concerned planned slots, newest first."""
    caller = caller_of(request, Scope.READ)
    asked = query(request, PageQuery)
    found = await services_of(request).recipient_moves.changes(caller.tenant, checked_id(recipient_id))
    return respond(changes_shown(found, asked))


@router.get(
    "/v1/recipients/{recipient_id}/moves/{change_id}",
    **openapi.operation("Read the report of a recipient's move", answer=ZoneReport, query=PageQuery),
)
async def show_move(request: Request, recipient_id: str, change_id: UUID) -> Response:
    """Which planned slots it moved, from where to where, and what became of them when it was undone."""
    caller = caller_of(request, Scope.READ)
    asked = query(request, PageQuery)
    moves, place = services_of(request).recipient_moves, place_of(asked.cursor)
    return respond(
        report_shown(await moves.page(caller.tenant, checked_id(recipient_id), change_id, place, asked.limit))
    )


@router.post(
    "/v1/recipients/{recipient_id}/moves/{change_id}/undo",
    **openapi.operation(
        "Undo a recipient's move",
        answer=RecipientMoveUndone,
        query=ReadQuery,
        scope=Scope.WRITE,
        errors=(409,),
        idempotent=True,
    ),
)
async def undo_move(request: Request, recipient_id: str, change_id: UUID) -> Response:
    """Gives them the zone of before, and puts back, by events, what nobody has moved since; the rest is planned there.

    Asked again it answers the same, or finishes what was broken off. 409 if their zone has become another since.
    """
    caller = caller_of(request, Scope.WRITE)
    query(request, ReadQuery)
    services, call = services_of(request), call_of(request, caller)
    done = await services.recipient_moves.undo(call, checked_id(recipient_id), change_id)
    shown = change_shown(done.change)
    return respond(
        RecipientMoveUndone.model_construct(**dict(shown), zone=done.zone, replanned=replanned_shown(done.moved))
    )
