"""Newer zone data: which of the tenant's planned slots they move, and the report of each change that was made.

What an operator does for the whole installation (`horae tz apply`, `undo`) is not offered here; what became of one's
own schedules by it is.
"""

from __future__ import annotations

from uuid import UUID

from fastapi import APIRouter, Request, Response

from horae.api import openapi
from horae.api.auth import caller_of
from horae.api.bodies import query
from horae.api.models.zonechanges import ZoneChangeList, ZoneReport, ZoneStatus
from horae.api.reading import PageQuery, services_of, settle
from horae.api.views import respond
from horae.api.zonereports import changes_shown, move_shown, place_of, report_shown, schedule_of
from horae.domain.key import Scope
from horae.domain.timing.zones import tzdata_version

router = APIRouter(tags=["zones"])


@router.get(
    "/v1/zones/status",
    **openapi.operation("See what newer zone data would move", answer=ZoneStatus, query=PageQuery),
)
async def show_status(request: Request) -> Response:
    """Of the slots that schedules stand at: those that the zone data in use would put elsewhere. Changes nothing.

    `limit` slots are looked at, by schedule; follow `next` until it is null.
    """
    caller = caller_of(request, Scope.READ)
    asked = query(request, PageQuery)
    after = None if asked.cursor is None else schedule_of(asked.cursor)
    await settle(request, caller, asked.min_position)
    seen = await services_of(request).zone_changes.glance(caller.tenant, after, asked.limit)
    return respond(
        ZoneStatus.model_construct(
            tzdata=tzdata_version(),
            checked=seen.checked,
            items=[move_shown(move) for move in seen.moves],
            next=None if seen.after is None else str(seen.after),
        )
    )


@router.get(
    "/v1/zones/changes", **openapi.operation("List changes of zone data", answer=ZoneChangeList, query=PageQuery)
)
async def list_changes(request: Request) -> Response:
    """Those that concerned slots of the tenant's, newest first; made by `horae tz apply`."""
    caller = caller_of(request, Scope.READ)
    asked = query(request, PageQuery)
    found = await services_of(request).zone_changes.changes(caller.tenant)
    return respond(changes_shown(found, asked))


@router.get(
    "/v1/zones/changes/{change_id}",
    **openapi.operation("Read the report of a change of zone data", answer=ZoneReport, query=PageQuery),
)
async def show_report(request: Request, change_id: UUID) -> Response:
    """Which of the tenant's slots it moved, from where to where, and what became of them when it was undone."""
    caller = caller_of(request, Scope.READ)
    asked = query(request, PageQuery)
    place = place_of(asked.cursor)
    report = await services_of(request).zone_changes.page(caller.tenant, change_id, place, asked.limit)
    return respond(report_shown(report))
