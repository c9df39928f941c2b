"""Changing schedules: edit, pause, resume, cancel, trigger, skip, un-skip, clone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import Field

from horae.api import openapi
from horae.api.auth import Caller, caller_of
from horae.api.bodies import query, read_model
from horae.api.models.changes import DryRun, SlotCounts, SlotDifference, SlotMoved
from horae.api.models.schedules import (
    ChangeSchedule,
    CloneSchedule,
    Reasoned,
    ScheduleShown,
    SlotNamed,
    Triggered,
)
from horae.api.reading import ReadQuery, if_match, services_of
from horae.api.views import call_of, created_headers, etag, next_shown, respond, schedule_shown, slot_named
from horae.commands.changes import Reach
from horae.commands.changes import Scope as Scope_
from horae.commands.context import Answer
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.differences import differences, facts_of
from horae.domain.key import Scope
from horae.domain.schedule.comparing import Change as SlotChange
from horae.domain.timing.values import LocalTime

router = APIRouter(tags=["changing schedules"])

_CHANGES = (409, 412)
_DRY_RUN_SLOTS = 5


class ChangeQuery(ReadQuery):
    """How to change."""

    scope: Scope_ = Field(
        default="all",
        description="Of a series: `all` that is to come, `following` (the slot named and those after it), or `this` "
        "slot alone, which a timing that does not recur moves.",
    )
    slot: LocalTime | None = Field(
        default=None, description="The slot of `this` or `following`: its local time.", examples=["2027-01-04T09:00"]
    )
    fold: int = Field(default=0, ge=0, le=1, description="1 for the second passing of a repeated local time.")
    exceptions: Literal["keep", "drop"] | None = Field(
        default=None,
        description="Whether skipped slots, and those changed by themselves, outlive the change: by their local time, "
        "else as the only one of their day. Left out: they do while the rule stays.",
    )
    dry_run: bool = Field(default=False, description="Only tell what the change would do.")
    slots: int = Field(default=100, ge=1, le=1000, description="With `dry_run`: how many slots are compared at most.")


@router.patch(
    "/v1/schedules/{schedule_id}",
    **openapi.operation(
        "Change a schedule",
        body=ChangeSchedule,
        answer=ScheduleShown,
        query=ChangeQuery,
        scope=Scope.WRITE,
        errors=_CHANGES,
        parameters=[openapi.IF_MATCH],
        idempotent=True,
        examples={"content": {"content": {"subject": "Hello"}}, "timing": {"timing": {"kind": "in", "delay": "PT1H"}}},
        alternatives=[DryRun],
    ),
)
async def change_schedule(request: Request, schedule_id: UUID) -> Response:
    """Fields that are given replace the old ones as a whole; a slot that is on its way keeps the old version."""
    caller = caller_of(request, Scope.WRITE)
    asked = query(request, ChangeQuery)
    patch, plain = await read_model(request, ChangeSchedule)
    services = services_of(request)
    slot = t.Slot(local=asked.slot, fold=asked.fold) if asked.slot is not None else None
    reach = Reach(scope=asked.scope, slot=slot, exceptions=asked.exceptions)
    # What is asked for besides the body makes another request of it.
    told = asked.model_dump(mode="json", include={"scope", "slot", "fold", "exceptions"}, exclude_defaults=True)
    call = call_of(request, caller, [plain, told] if told else plain)
    if asked.dry_run:
        before, after, difference = await services.schedules.compare(
            call, schedule_id, patch, reach=reach, if_match=if_match(request), count=asked.slots
        )
        return respond(await _dry_run(request, caller, before, after, difference))
    answer = await services.schedules.change(call, schedule_id, patch, if_match=if_match(request), reach=reach)
    return _answered(answer)


async def _dry_run(
    request: Request, caller: Caller, before: Answer[s.Schedule], after: Answer[s.Schedule], difference: s.Difference
) -> DryRun:
    services = services_of(request)
    zone = await services.recipients.zone(caller.tenant, before.state.personal.recipient)

    async def slots(state: s.Schedule) -> list[t.Next]:
        context = state.context(
            services.clock.now(),
            default_zone=services.settings.default_zone,
            recipient_zone=zone,
            calendar=await services.calendars.resolver.for_timing(caller.tenant, state.timing),
        )
        return s.preview(state, _DRY_RUN_SLOTS, context).slots

    was = before.state.exceptions | before.state.changes.keys()
    stays = was & (after.state.exceptions | after.state.changes.keys())
    changed = differences(facts_of(before.state), facts_of(after.state))
    return DryRun.model_construct(
        changed=tuple(difference.field for difference in changed),
        before=schedule_shown(before),
        after=schedule_shown(after),
        slots_before=[next_shown(at) for at in await slots(before.state)],
        slots_after=[next_shown(at) for at in await slots(after.state)],
        difference=_difference_shown(difference),
        exceptions_kept=[slot_named(slot) for slot in sorted(stays, key=_local)],
        exceptions_fallen=[slot_named(slot) for slot in sorted(was - stays, key=_local)],
    )


def _local(slot: t.Slot) -> tuple[datetime, int]:
    return slot.local, slot.fold


def _difference_shown(found: s.Difference) -> SlotDifference:
    def both(changes: Sequence[SlotChange]) -> list[SlotMoved]:
        return [
            SlotMoved.model_construct(before=next_shown(c.before), after=next_shown(c.after), changed=c.changed)
            for c in changes
        ]

    return SlotDifference.model_construct(
        since=found.since,
        until=found.until,
        counts=SlotCounts.model_construct(
            moved=len(found.moved),
            dropped=len(found.dropped),
            added=len(found.added),
            changed=len(found.changed),
            kept=found.kept,
        ),
        moved=both(found.moved),
        dropped=[next_shown(at) for at in found.dropped],
        added=[next_shown(at) for at in found.added],
        changed=both(found.changed),
    )


def _answered(answer: Answer[s.Schedule], status: int = 200) -> Response:
    return respond(schedule_shown(answer), status, etag(answer.version))


def _verb(summary: str, *, matching: bool = True) -> dict[str, Any]:
    return openapi.operation(
        summary,
        body=Reasoned,
        answer=ScheduleShown,
        scope=Scope.WRITE,
        errors=_CHANGES if matching else (409,),
        parameters=[openapi.IF_MATCH] if matching else (),
        idempotent=True,
    )


@router.post("/v1/schedules/{schedule_id}/pause", **_verb("Pause a schedule"))
async def pause_schedule(request: Request, schedule_id: UUID) -> Response:
    """Nothing of it fires until it is resumed, and no further attempt starts."""
    caller = caller_of(request, Scope.WRITE)
    body, plain = await read_model(request, Reasoned)
    call = call_of(request, caller, plain)
    pause = services_of(request).schedules.pause
    return _answered(await pause(call, schedule_id, reason=body.reason, if_match=if_match(request)))


@router.post("/v1/schedules/{schedule_id}/resume", **_verb("Resume a schedule"))
async def resume_schedule(request: Request, schedule_id: UUID) -> Response:
    """A series goes on with its first slot after now; a one-off that is overdue goes out at once."""
    caller = caller_of(request, Scope.WRITE)
    body, plain = await read_model(request, Reasoned)
    call = call_of(request, caller, plain)
    resume = services_of(request).schedules.resume
    return _answered(await resume(call, schedule_id, reason=body.reason, if_match=if_match(request)))


@router.post("/v1/schedules/{schedule_id}/cancel", **_verb("Cancel a schedule"))
async def cancel_schedule(request: Request, schedule_id: UUID) -> Response:
    """For good: nothing of it fires any more; `already_claimed` names what was on its way."""
    caller = caller_of(request, Scope.WRITE)
    body, plain = await read_model(request, Reasoned)
    call = call_of(request, caller, plain)
    cancel = services_of(request).schedules.cancel
    return _answered(await cancel(call, schedule_id, reason=body.reason, if_match=if_match(request)))


@router.delete(
    "/v1/schedules/{schedule_id}",
    **openapi.operation(
        "Cancel a schedule",
        answer=ScheduleShown,
        scope=Scope.WRITE,
        errors=_CHANGES,
        parameters=[openapi.IF_MATCH],
    ),
)
async def delete_schedule(request: Request, schedule_id: UUID) -> Response:
    """The same as POST .../cancel; the history stays."""
    caller = caller_of(request, Scope.WRITE)
    cancel = services_of(request).schedules.cancel
    return _answered(await cancel(call_of(request, caller), schedule_id, if_match=if_match(request)))


@router.post(
    "/v1/schedules/{schedule_id}/trigger",
    **openapi.operation(
        "Release one now",
        body=Reasoned,
        answer=Triggered,
        scope=Scope.WRITE,
        status=202,
        errors=(409,),
        idempotent=True,
    ),
)
async def trigger_schedule(request: Request, schedule_id: UUID) -> Response:
    """One occurrence beside the series, now. Twice is twice, unless it is the same Idempotency-Key."""
    caller = caller_of(request, Scope.WRITE)
    body, plain = await read_model(request, Reasoned)
    trigger = services_of(request).schedules.trigger
    answer = await trigger(call_of(request, caller, plain), schedule_id, reason=body.reason)
    occurrence, at = list(answer.state.triggers.items())[-1]
    shown = Triggered.model_construct(
        schedule=schedule_id,
        occurrence=occurrence,
        version=answer.version,
        position=answer.position,
        due_at=at.due_at,
        replayed=answer.replayed,
    )
    return respond(shown, 202, {**etag(answer.version), "Location": f"/v1/occurrences/{occurrence}"})


def _slot_verb(summary: str) -> dict[str, Any]:
    return openapi.operation(
        summary,
        body=SlotNamed,
        answer=ScheduleShown,
        scope=Scope.WRITE,
        errors=(409,),
        idempotent=True,
        examples={"slot": {"slot": "2027-01-04T09:00", "fold": 0}},
    )


@router.post("/v1/schedules/{schedule_id}/skip", **_slot_verb("Skip one slot"))
async def skip_slot(request: Request, schedule_id: UUID) -> Response:
    """Take one slot to come out of the series; 422 if the series has no such slot."""
    caller = caller_of(request, Scope.WRITE)
    body, plain = await read_model(request, SlotNamed)
    slot = t.Slot(local=body.slot, fold=body.fold)
    return _answered(await services_of(request).schedules.skip(call_of(request, caller, plain), schedule_id, slot))


@router.post("/v1/schedules/{schedule_id}/unskip", **_slot_verb("Put a skipped slot back"))
async def unskip_slot(request: Request, schedule_id: UUID) -> Response:
    """Also takes back what was changed of it by itself. 409 if it lies in the past."""
    caller = caller_of(request, Scope.WRITE)
    body, plain = await read_model(request, SlotNamed)
    slot = t.Slot(local=body.slot, fold=body.fold)
    return _answered(await services_of(request).schedules.unskip(call_of(request, caller, plain), schedule_id, slot))


@router.post(
    "/v1/schedules/{schedule_id}/clone",
    **openapi.operation(
        "Clone a schedule",
        body=CloneSchedule,
        answer=ScheduleShown,
        scope=Scope.WRITE,
        status=201,
        errors=(409,),
        idempotent=True,
        examples={"same": {}, "for somebody else": {"recipient": "user-18"}},
    ),
)
async def clone_schedule(request: Request, schedule_id: UUID) -> Response:
    """A new schedule like this one (which may be cancelled or ended), its timing read anew from now."""
    caller = caller_of(request, Scope.WRITE)
    given, plain = await read_model(request, CloneSchedule)
    answer = await services_of(request).schedules.clone(call_of(request, caller, plain), schedule_id, given)
    return respond(schedule_shown(answer), 201, created_headers(answer))
