"""A schedule's past and future: history, diff, preview, occurrences, and explain of any slot."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import Field

from horae.api import openapi
from horae.api.auth import caller_of
from horae.api.bodies import query
from horae.api.explain import explain_slot
from horae.api.models.occurrences import Explanation, OccurrenceList
from horae.api.models.schedules import BlamedDiff, Diff, FieldDiff, History, HistoryEntry, PreviewShown
from horae.api.reading import Many, PageQuery, ReadQuery, moment, read_models, services_of
from horae.api.rows import occurrence_row_shown
from horae.api.starts import with_starts
from horae.api.views import next_shown, respond, skipped_shown
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.errors import Invalid
from horae.domain.ids import occurrence_id
from horae.domain.key import Scope
from horae.domain.timing.values import Instant, LocalTime
from horae.projections import queries

if TYPE_CHECKING:
    pass

router = APIRouter(tags=["history and future"])


class PreviewQuery(ReadQuery):
    """Which slots."""

    count: int = Field(default=10, ge=1, le=1000, description="At most so many.")
    after: Instant | None = Field(default=None, description="Due after this instant; default: now.")
    until: Instant | None = Field(default=None, description="Due at or before this instant.")
    as_of: str | None = Field(
        default=None, max_length=64, description="By the schedule as it was at an instant or a log position."
    )


class DiffQuery(ReadQuery):
    """Which two versions."""

    from_version: int = Field(default=1, ge=1, le=2**31 - 1, description="The older one.")
    to_version: int | None = Field(default=None, ge=1, le=2**31 - 1, description="The newer one; default: the present.")


class SlotQuery(ReadQuery):
    """Which slot."""

    slot: LocalTime = Field(description="Its local time, without a zone.", examples=["2027-01-04T09:00"])
    fold: int = Field(default=0, ge=0, le=1, description="1 for the second passing of a repeated local time.")


class OccurrencesQuery(PageQuery):
    """Which occurrences of the schedule."""

    status: Many[str] = Field(default=(), description="Only those of this status.", examples=["delivered"])


@router.get(
    "/v1/schedules/{schedule_id}/history",
    **openapi.operation("Every change of a schedule", answer=History, query=ReadQuery),
)
async def get_history(request: Request, schedule_id: UUID) -> Response:
    """Every event of the asking, oldest first: who, when, and which fields changed. From the log itself."""
    caller = caller_of(request, Scope.READ)
    query(request, ReadQuery)
    entries = await services_of(request).schedules.history(caller.tenant, schedule_id)
    items = [
        HistoryEntry.model_construct(
            version=entry.version,
            position=entry.position,
            event=entry.name,
            at=entry.at,
            actor=entry.actor,
            request_id=entry.request_id,
            reason=entry.reason,
            changes=[
                FieldDiff.model_construct(field=change.field, before=change.before, after=change.after)
                for change in entry.changes
            ],
        )
        for entry in entries
    ]
    return respond(History.model_construct(items=items, next=None))


@router.get(
    "/v1/schedules/{schedule_id}/diff",
    **openapi.operation("What differs between two versions", answer=Diff, query=DiffQuery),
)
async def get_diff(request: Request, schedule_id: UUID) -> Response:
    """Field by field, and who changed each last."""
    caller = caller_of(request, Scope.READ)
    asked = query(request, DiffQuery)
    schedules = services_of(request).schedules
    history = await schedules.history(caller.tenant, schedule_id)
    newer = asked.to_version or len(history)
    if newer < asked.from_version:
        raise Invalid(
            "The range runs backwards.", field="to_version", value=newer, hint="Give the older version as from_version."
        )
    found = await schedules.diff(caller.tenant, schedule_id, asked.from_version, newer)
    span = [entry for entry in history if asked.from_version < entry.version <= newer]
    changes = []
    for difference in found:
        by = next((e for e in reversed(span) if any(c.field == difference.field for c in e.changes)), None)
        changes.append(
            BlamedDiff.model_construct(
                field=difference.field,
                before=difference.before,
                after=difference.after,
                version=by.version if by else None,
                at=by.at if by else None,
                actor=by.actor if by else None,
            )
        )
    return respond(Diff.model_construct(from_version=asked.from_version, to_version=newer, changes=changes))


@router.get(
    "/v1/schedules/{schedule_id}/preview",
    **openapi.operation("The slots to come", answer=PreviewShown, query=PreviewQuery),
)
async def get_preview(request: Request, schedule_id: UUID) -> Response:
    """What will go out, skips and clock changes applied; with `until`, all slots of a window. Cancelled: none."""
    caller = caller_of(request, Scope.READ)
    asked = query(request, PreviewQuery)
    services = services_of(request)
    answer = await services.schedules.get(caller.tenant, schedule_id, moment(asked.as_of, "as_of"))
    if answer.state.status is s.Status.CANCELLED:
        return respond(PreviewShown.model_construct(slots=[], skipped=[]))
    context = await _context(request, caller.tenant, answer.state)
    found = s.preview(answer.state, asked.count, context, after=asked.after)
    slots = [at for at in found.slots if asked.until is None or at.due_at <= asked.until]
    skipped = found.skipped if asked.until is None or len(slots) == len(found.slots) else []
    shown = PreviewShown.model_construct(slots=[next_shown(at) for at in slots], skipped=skipped_shown(skipped))
    return respond(shown)


async def _context(request: Request, tenant: str, state: s.Schedule) -> t.Context:
    services = services_of(request)
    zone = await services.recipients.zone(tenant, state.personal.recipient)
    return state.context(
        services.clock.now(),
        default_zone=services.settings.default_zone,
        recipient_zone=zone,
        calendar=await services.calendars.resolver.for_timing(tenant, state.timing),
    )


@router.get(
    "/v1/schedules/{schedule_id}/occurrences",
    **openapi.operation("What became of its slots", answer=OccurrenceList, query=OccurrencesQuery),
)
async def list_schedule_occurrences(request: Request, schedule_id: UUID) -> Response:
    """Every slot that something happened to, newest first."""
    caller = caller_of(request, Scope.READ)
    asked = query(request, OccurrencesQuery)
    async with read_models(request, caller, asked.min_position, about=schedule_id) as conn:
        page = await queries.list_occurrences(
            conn, caller.tenant, schedule_id, status=asked.status, cursor=asked.cursor, limit=asked.limit
        )
    if not page.items and asked.cursor is None:
        await services_of(request).schedules.get(caller.tenant, schedule_id)  # 404 for what is not theirs
    items = [occurrence_row_shown(row) for row in page.items]
    return respond(OccurrenceList.model_construct(items=items, next=page.next))


@router.get(
    "/v1/schedules/{schedule_id}/explain",
    **openapi.operation("Why a slot was sent, or not", answer=Explanation, query=SlotQuery),
)
async def explain_schedule_slot(request: Request, schedule_id: UUID) -> Response:
    """Any local time, past or to come: skipped, paused, cancelled, missed, in a gap, never a slot, not yet due …"""
    caller = caller_of(request, Scope.READ)
    asked = query(request, SlotQuery)
    services = services_of(request)
    answer = await services.schedules.get(caller.tenant, schedule_id)
    slot = t.Slot(local=asked.slot, fold=asked.fold)
    async with read_models(request, caller, asked.min_position, about=schedule_id) as conn:
        run = await queries.missed_run_near(conn, caller.tenant, schedule_id, slot)
    wanted = {schedule_id, occurrence_id(schedule_id, slot.local, slot.fold), *([run] if run else [])}
    streams = await services.store.scoped(caller.tenant).load_many(wanted)
    explanation = explain_slot(
        streams[schedule_id],
        slot,
        streams.get(occurrence_id(schedule_id, slot.local, slot.fold), []),
        streams.get(run, []) if run else [],
        await _context(request, caller.tenant, answer.state),
    )
    return respond(await with_starts(explanation, services.workers_started))
