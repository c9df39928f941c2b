"""What follows from what is asked of a schedule: events, or the error that says why not."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import assert_never

from horae.domain import timing as t
from horae.domain.errors import AlreadyClaimed, Conflict, Invalid, VersionMismatch
from horae.domain.ids import occurrence_id, trigger_occurrence_id
from horae.domain.personal import Personal
from horae.domain.schedule.commands import (
    Cancel,
    Change,
    Command,
    Create,
    Pause,
    Replan,
    Resume,
    Skip,
    Trigger,
    Unskip,
)
from horae.domain.schedule.events import (
    Definition,
    ScheduleCancelled,
    ScheduleChanged,
    ScheduleCreated,
    ScheduleEvent,
    SchedulePaused,
    ScheduleReplanned,
    ScheduleResumed,
    ScheduleTriggered,
    SlotSkipped,
    SlotUnskipped,
    Status,
)
from horae.domain.schedule.state import Schedule, same_rule, shifted


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
            return _change(command, state)
        case Pause():
            return _pause(command, state)
        case Resume():
            return _resume(command, state)
        case Cancel():
            _check_version(command.if_match, state)
            if state.status is Status.CANCELLED:
                return []
            return [
                ScheduleCancelled(
                    reason=command.reason, for_schedule=command.for_schedule, request_digest=command.request_digest
                )
            ]
        case Trigger():
            return _trigger(command, state)
        case Skip():
            return _skip(command, state)
        case Unskip():
            return _unskip(command, state)
        case Replan():
            return _replan(command, state)
        case _ as never:
            assert_never(never)


def _check_version(if_match: int | None, state: Schedule) -> None:
    if if_match is not None and if_match != state.version:
        raise VersionMismatch(
            f"The schedule is at version {state.version}, not {if_match}.",
            field="If-Match",
            value=if_match,
            hint="Read it again and decide anew.",
            version=state.version,
        )


def _check_open(state: Schedule, verb: str) -> None:
    if state.status is Status.CANCELLED:
        raise Conflict(
            f"The schedule is cancelled, so it cannot be {verb}.", field="status", value="cancelled", hint="Clone it."
        )


def _change(command: Change, state: Schedule) -> list[ScheduleEvent]:
    _check_version(command.if_match, state)
    _check_open(state, "changed")
    if command.current.begun:
        raise _begun(state, command.context)
    new_timing = command.changes.get("timing")
    given = {name: value for name, value in command.changes.items() if name not in ("timing", "recipient")}
    personal = Personal(**{name: given.get(name, getattr(state.personal, name)) for name in Personal.model_fields})
    definition = Definition(
        **{name: given.get(name, getattr(state.definition, name)) for name in Definition.model_fields}
    )
    next_: t.Next | None = None
    if new_timing is not None and moves(new_timing, state, command.context):
        if state.recurring and state.status is Status.ACTIVE and command.current.next is None:
            raise Conflict(
                "The series has ended.", field="status", value="completed", hint="Clone it with a new timing."
            )
        timing = renewed(new_timing, state, command.context)
        definition = definition.model_copy(update={"timing": timing})
        exceptions = state.exceptions if same_rule(timing, state.timing) else frozenset()
        next_ = t.first(timing, replace(command.context, exceptions=exceptions))
        if next_ is None:
            raise Invalid("The new timing has no slot from now on.", field="timing", hint="Choose a later end.")
    moved = shifted(definition.timing, command.settled) if command.settled is not None else definition.timing
    if moved != definition.timing:
        definition = definition.model_copy(update={"timing": moved})
        exceptions = state.exceptions if same_rule(moved, state.timing) else frozenset()
        next_ = t.first(moved, replace(command.context, exceptions=exceptions))
    changed = tuple(
        sorted(
            [k for k in Personal.model_fields if getattr(personal, k) != getattr(state.personal, k)]
            + [k for k in Definition.model_fields if getattr(definition, k) != getattr(state.definition, k)]
        )
    )
    if not changed:
        return []
    return [
        ScheduleChanged(
            personal=personal,
            definition=definition,
            changed=changed,
            next_unchanged=next_ is None,
            next=next_ if state.status is Status.ACTIVE else None,
            replaced=command.current.next.slot if next_ is not None and command.current.next else None,
            settled=command.settled or (state.settled if next_ is None else None),
            for_schedule=command.for_schedule,
            request_digest=command.request_digest,
        )
    ]


def moves(new: t.Timing, state: Schedule, context: t.Context) -> bool:
    """Does a client that sends the timing `new` ask for something else than what the schedule already does?

    Raises `Invalid` for a timing that makes no sense.
    """
    return new != state.timing and renewed(new, state, context) != state.timing


def renewed(new: t.Timing, state: Schedule, context: t.Context) -> t.Timing:
    """The timing `new`, normalised; while its rule stays, it counts from where the series began."""
    timing = t.normalise(new, context)
    if not same_rule(timing, state.timing):
        return timing
    kept: dict[str, object] = {"shifted_by": state.timing.shifted_by}
    if isinstance(state.timing, t.Every):
        kept["anchor"] = state.timing.anchor
    return timing.model_copy(update=kept)


def one_off_slot(state: Schedule, context: t.Context) -> t.Next:
    """The one slot of a schedule that does not recur, skipped, fired or not."""
    slot = t.first(state.timing, replace(context, exceptions=frozenset()))
    if slot is None:
        raise ValueError(f"the one-off {state.id} has no slot")
    return slot


def _begun(state: Schedule, context: t.Context) -> AlreadyClaimed:
    slot = one_off_slot(state, context).slot
    return AlreadyClaimed(
        "The occurrence is already on its way or done.",
        field="timing",
        value=slot.local.isoformat(),
        hint="Create a new schedule for a further message.",
        already_claimed=[str(occurrence_id(state.id, slot.local, slot.fold))],
    )


def _pause(command: Pause, state: Schedule) -> list[ScheduleEvent]:
    _check_version(command.if_match, state)
    _check_open(state, "paused")
    if state.status is Status.PAUSED:
        return []
    return [SchedulePaused(reason=command.reason, request_digest=command.request_digest)]


def _resume(command: Resume, state: Schedule) -> list[ScheduleEvent]:
    _check_version(command.if_match, state)
    _check_open(state, "resumed")
    if state.status is Status.ACTIVE:
        return []
    # A one-off that was held back goes out late, overdue or not.
    context = replace(command.context, exceptions=state.exceptions)
    next_ = t.after(state.timing, context.now, context) if state.recurring else command.current.next
    return [ScheduleResumed(next=next_, reason=command.reason, request_digest=command.request_digest)]


def _trigger(command: Trigger, state: Schedule) -> list[ScheduleEvent]:
    if state.status is not Status.ACTIVE:
        raise Conflict(
            f"The schedule is {state.status}, so it cannot be triggered.",
            field="status",
            value=state.status.value,
            hint="Resume it first, or clone it.",
        )
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


def _skip(command: Skip, state: Schedule) -> list[ScheduleEvent]:
    _check_open(state, "changed")
    planned = _slot_of_series(command.slot, state, command.context)
    if command.slot in state.exceptions:
        return []
    occurrence = occurrence_id(state.id, command.slot.local, command.slot.fold)
    current = command.current.next
    if state.status is Status.ACTIVE and (current is None or _before(planned, current)):
        raise AlreadyClaimed(
            "The slot lies behind the series: it has fired, is on its way, or was passed over.",
            field="slot",
            value=command.slot.local.isoformat(),
            hint="Only slots to come can be skipped.",
            already_claimed=[str(occurrence)],
        )
    is_current = current is not None and current.slot == command.slot
    context = replace(command.context, exceptions=state.exceptions | {command.slot})
    return [
        SlotSkipped(
            slot=command.slot,
            occurrence=occurrence,
            due_at=planned.due_at,
            next_unchanged=not is_current,
            next=t.following(state.timing, planned, context) if is_current else None,
            for_schedule=command.for_schedule,
            request_digest=command.request_digest,
        )
    ]


def _unskip(command: Unskip, state: Schedule) -> list[ScheduleEvent]:
    _check_open(state, "changed")
    if command.slot not in state.exceptions:
        return []
    planned = _slot_of_series(command.slot, state, command.context)
    if planned.due_at <= command.context.now:
        raise Conflict(
            "The slot lies in the past, so putting it back would never fire it.",
            field="slot",
            value=command.slot.local.isoformat(),
            hint="Trigger the schedule instead.",
        )
    current = command.current.next
    earlier = state.status is Status.ACTIVE and (current is None or _before(planned, current))
    return [
        SlotUnskipped(
            slot=command.slot,
            occurrence=occurrence_id(state.id, command.slot.local, command.slot.fold),
            next_unchanged=not earlier,
            next=planned if earlier else None,
            request_digest=command.request_digest,
        )
    ]


def _replan(command: Replan, state: Schedule) -> list[ScheduleEvent]:
    """A slot that is due already stays: it is being claimed. Slots that were dealt with are passed over if they come
    again; one that the change puts into the past is late, which is judged when it is claimed, as any that is late.
    """
    current, context = command.current.next, replace(command.context, exceptions=state.exceptions)
    if current is not None and not state.recurring:
        # A one-off's slot is read off its timing, as it is now: the plan that stands is in its stream.
        current = state.next
    if state.status is not Status.ACTIVE or current is None or current.due_at <= context.now:
        return []
    next_ = t.anew(state.timing, current, context) if state.recurring else one_off_slot(state, context)
    if next_ is not None and (next_.slot, next_.due_at) == (current.slot, current.due_at):
        return []
    return [ScheduleReplanned(cause=command.cause, detail=command.detail, before=current, next=next_)]


def _before(one: t.Next, other: t.Next) -> bool:
    """In the series' own order: jitter may turn the order of the due instants round."""
    return _nominal(one) < _nominal(other)


def _nominal(slot: t.Next) -> datetime:
    return slot.due_at - timedelta(seconds=slot.plan.jitter_s)


def _slot_of_series(slot: t.Slot, state: Schedule, context: t.Context) -> t.Next:
    found = t.find(state.timing, slot, context)
    if found is None:
        raise Invalid(
            "The schedule has no such slot.",
            field="slot",
            value=slot.local.isoformat(),
            hint="Ask for its preview: each slot is listed there with its fold.",
        )
    return found
