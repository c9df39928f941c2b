"""What follows from what is asked of a schedule: events, or the error that says why not."""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from horae.domain import timing as t
from horae.domain.errors import Conflict, Invalid
from horae.domain.ids import trigger_occurrence_id
from horae.domain.schedule.changing import change
from horae.domain.schedule.commands import (
    Backfill,
    Cancel,
    Change,
    ChangeSlot,
    Command,
    Create,
    Pause,
    Replan,
    Resume,
    Skip,
    TakeIn,
    Trigger,
    Unskip,
)
from horae.domain.schedule.events import (
    Definition,
    ScheduleBackfilled,
    ScheduleCancelled,
    ScheduleCreated,
    ScheduleEvent,
    SchedulePaused,
    ScheduleReplanned,
    ScheduleResumed,
    ScheduleTriggered,
    Status,
)
from horae.domain.schedule.joining import take_in
from horae.domain.schedule.judging import check_open, check_version, one_off_slot
from horae.domain.schedule.single import change_slot, skip, unskip
from horae.domain.schedule.state import Schedule, shifted


def create(command: Create) -> ScheduleCreated:
    """The first event of a schedule. Raises `Invalid` if its timing has no slot at all."""
    timing = shifted(t.normalise(command.timing, command.context), command.settled)
    first = t.first(timing, command.context)
    if first is None:
        raise Invalid(
            "The timing has no slot from now on.",
            field="timing",
            value=timing.model_dump(mode="json", exclude_none=True),
            hint="Choose a later end, or a rule that matches.",
        )
    if command.why is not None:
        plan = first.plan.model_copy(update={"reasons": (command.why, *first.plan.reasons)})
        first = first.model_copy(update={"plan": plan})
    return ScheduleCreated(
        recipient_ref=command.recipient_ref,
        personal=command.personal,
        definition=Definition(
            timing=timing,
            priority=command.priority,
            delivery=command.delivery,
            expires_after=command.expires_after,
            conflicts=command.conflicts,
        ),
        next=first,
        cloned_from=command.cloned_from,
        settled=command.settled,
        request_digest=command.request_digest,
    )


def decide(command: Command, state: Schedule) -> list[ScheduleEvent]:
    """What follows from the command, as events; an empty list: nothing is to be done (it is so already).

    Raises `Conflict`, `AlreadyClaimed`, `VersionMismatch` or `Invalid`; then nothing has happened.
    """
    match command:
        case Change():
            return change(command, state)
        case TakeIn():
            return take_in(command, state)
        case ChangeSlot():
            return change_slot(command, state)
        case Pause():
            return _pause(command, state)
        case Resume():
            return _resume(command, state)
        case Cancel():
            check_version(command.if_match, state)
            if state.status is Status.CANCELLED:
                return []
            return [
                ScheduleCancelled(
                    reason=command.reason, for_schedule=command.for_schedule, request_digest=command.request_digest
                )
            ]
        case Trigger():
            return _trigger(command, state)
        case Backfill():
            return _backfill(command, state)
        case Skip():
            return skip(command, state)
        case Unskip():
            return unskip(command, state)
        case Replan():
            return _replan(command, state)
        case _ as never:
            assert_never(never)


def _pause(command: Pause, state: Schedule) -> list[ScheduleEvent]:
    check_version(command.if_match, state)
    check_open(state, "paused")
    if state.status is Status.PAUSED:
        return []
    return [SchedulePaused(reason=command.reason, request_digest=command.request_digest)]


def _resume(command: Resume, state: Schedule) -> list[ScheduleEvent]:
    check_version(command.if_match, state)
    check_open(state, "resumed")
    if state.status is Status.ACTIVE:
        return []
    # A one-off that was held back goes out late, overdue or not.
    context = replace(command.context, exceptions=state.out)
    next_ = t.after(state.timing, context.now, context) if state.recurring else command.current.next
    return [ScheduleResumed(next=next_, reason=command.reason, request_digest=command.request_digest)]


def _trigger(command: Trigger, state: Schedule) -> list[ScheduleEvent]:
    _check_active(state, "triggered")
    at = t.moment(state.timing, command.context)
    occurrence = trigger_occurrence_id(state.id, command.trigger, at.slot.local)
    return [
        ScheduleTriggered(
            trigger=command.trigger,
            occurrence=occurrence,
            at=at,
            reason=command.reason,
            request_digest=command.request_digest,
        )
    ]


def _backfill(command: Backfill, state: Schedule) -> list[ScheduleEvent]:
    """Nothing is asked for where no slot is left to send."""
    _check_active(state, "backfilled")
    if not state.recurring:
        raise Conflict(
            "The schedule does not recur, so it has no slots of the past to make up for.",
            field="timing.kind",
            value=state.timing.kind,
            hint="Trigger it; an occurrence that failed can be replayed.",
        )
    if command.count == 0:
        return []
    return [
        ScheduleBackfilled(
            backfill=command.backfill,
            begin=command.begin,
            end=command.end,
            count=command.count,
            include=command.include,
            every_s=command.every.total_seconds(),
            reason=command.reason,
            request_digest=command.request_digest,
        )
    ]


def _check_active(state: Schedule, verb: str) -> None:
    if state.status is not Status.ACTIVE:
        raise Conflict(
            f"The schedule is {state.status}, so it cannot be {verb}.",
            field="status",
            value=state.status.value,
            hint="Resume it first, or clone it.",
        )


def _replan(command: Replan, state: Schedule) -> list[ScheduleEvent]:
    """A slot that is due already stays: it is being claimed. Slots that were dealt with are passed over if they come
    again; one that the change puts into the past is late, which is judged when it is claimed, as any that is late.
    """
    current, context = command.current.next, replace(command.context, exceptions=state.out)
    if current is not None and not state.recurring:
        # A one-off's slot is read off its timing, as it is now: the plan that stands is in its stream.
        current = state.next
    if state.status is not Status.ACTIVE or current is None or current.due_at <= context.now:
        return []
    next_ = t.anew(state.timing, current, context) if state.recurring else one_off_slot(state, context)
    if next_ is not None and (next_.slot, next_.due_at) == (current.slot, current.due_at):
        return []
    return [ScheduleReplanned(cause=command.cause, detail=command.detail, before=current, next=next_)]
