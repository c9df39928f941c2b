"""Newer zone data: which of the tenant's planned slots they move, and the report of each change that was made.

What an operator does for the whole installation (`horae tz apply`, `undo`) is not offered here; what became of one's
own schedules by it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response

from horae.api import openapi
from horae.api.auth import caller_of
from horae.api.bodies import query
from horae.api.models.zonechanges import (
    MoveShown,
    ReportedMove,
    ZoneChangeList,
    ZoneChangeShown,
    ZoneReport,
    ZoneStatus,
)
from horae.api.reading import PageQuery, services_of, settle
from horae.api.views import respond
from horae.commands.zonechanges import Report
from horae.domain.errors import Invalid
from horae.domain.key import Scope
from horae.domain.timing.zones import tzdata_version
from horae.domain.zonechange import Change, Move

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
    after = None if asked.cursor is None else _schedule(asked.cursor)
    await settle(request, caller, asked.min_position)
    seen = await services_of(request).zone_changes.glance(caller.tenant, after, asked.limit)
    return respond(
        ZoneStatus.model_construct(
            tzdata=tzdata_version(),
            checked=seen.checked,
            items=[MoveShown.model_construct(**_facts(move)) for move in seen.moves],
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
    found = list(reversed(await services_of(request).zone_changes.changes(caller.tenant)))
    start = 0 if asked.cursor is None else _behind(asked.cursor, found)
    page = found[start : start + asked.limit]
    shown = [ZoneChangeShown.model_construct(**_told(change)) for change in page]
    following = str(page[-1].id) if start + asked.limit < len(found) else None
    return respond(ZoneChangeList.model_construct(tzdata=tzdata_version(), items=shown, next=following))


@router.get(
    "/v1/zones/changes/{change_id}",
    **openapi.operation("Read the report of a change of zone data", answer=ZoneReport, query=PageQuery),
)
async def show_report(request: Request, change_id: UUID) -> Response:
    """Which of the tenant's slots it moved, from where to where, and what became of them when it was undone."""
    caller = caller_of(request, Scope.READ)
    asked = query(request, PageQuery)
    report = await services_of(request).zone_changes.report(caller.tenant, change_id)
    start = 0 if asked.cursor is None else _place(asked.cursor, len(report.moves))
    end = start + asked.limit
    restored = frozenset(report.restored)
    items = [_reported(move, report, restored) for move in report.moves[start:end]]
    following = str(end) if end < len(report.moves) else None
    return respond(ZoneReport.model_construct(**_told(report.change), items=items, next=following))


def _facts(move: Move) -> dict[str, Any]:
    return {name: getattr(move, name) for name in Move.model_fields}


def _reported(move: Move, report: Report, restored: frozenset[UUID]) -> ReportedMove:
    left = report.left.get(move.schedule_id)
    undone = False if left is not None else True if move.schedule_id in restored else None
    return ReportedMove.model_construct(**_facts(move), undone=undone, left=left)


def _told(change: Change) -> dict[str, Any]:
    return {
        "id": change.id,
        "at": change.at,
        "tzdata": change.version,
        "keep": change.keep,
        "checked": change.checked,
        "zones": dict(change.zones),
        "undone_at": change.undone_at,
        "restored": change.restored,
        "left": change.left,
    }


def _schedule(cursor: str) -> UUID:
    try:
        return UUID(cursor)
    except ValueError:
        raise _foreign(cursor) from None


def _behind(cursor: str, changes: Sequence[Change]) -> int:
    """The place behind the change that the page before ended with; newer ones have come in front since."""
    for place, change in enumerate(changes):
        if str(change.id) == cursor:
            return place + 1
    raise _foreign(cursor)


def _place(cursor: str, length: int) -> int:
    """So many moves were on the pages before; more are only ever added behind them."""
    if not (cursor.isascii() and cursor.isdecimal() and len(cursor) < 10) or int(cursor) > length:
        raise _foreign(cursor)
    return int(cursor)


def _foreign(cursor: str) -> Invalid:
    return Invalid(
        "The cursor does not belong to this list.",
        field="cursor",
        value=cursor[:80],
        hint="Pass `next` of the page before.",
    )
