"""One slot by itself: taken out, put back, changed or moved."""

from __future__ import annotations

from dataclasses import replace

from horae.domain import timing as t
from horae.domain.errors import Conflict, Invalid
from horae.domain.ids import occurrence_id
from horae.domain.personal import Personal
from horae.domain.schedule.commands import ChangeSlot, Skip, Unskip
from horae.domain.schedule.events import Definition, ScheduleEvent, SlotChanged, SlotSkipped, SlotUnskipped, Status
from horae.domain.schedule.judging import (
    check_of_all,
    check_open,
    check_version,
    is_before,
    lies_behind,
    passed,
    slot_of_series,
)
from horae.domain.schedule.state import Schedule

#: Slots of one schedule that are changed by themselves; each is looked at whenever the series is.
MAX_CHANGES = 1_000


def skip(command: Skip, state: Schedule) -> list[ScheduleEvent]:
    """Take a slot out. Raises `Conflict`, `Invalid`, `AlreadyClaimed`."""
    check_open(state, "changed")
    moved = _moved_to(command.slot, state)
    planned = moved or slot_of_series(command.slot, state, command.context)
    if command.slot in state.exceptions:
        return []
    current = command.current.next
    gone_by = state.status is Status.ACTIVE and (current is None or is_before(planned, current))
    if command.begun if moved else gone_by:
        raise passed(command.slot, state, "skipped")
    is_current = moved is None and current is not None and current.slot == command.slot
    context = replace(command.context, exceptions=state.out | {command.slot})
    return [
        SlotSkipped(
            slot=command.slot,
            occurrence=occurrence_id(state.id, command.slot.local, command.slot.fold),
            due_at=planned.due_at,
            next_unchanged=not is_current,
            next=t.following(state.timing, planned, context) if is_current else None,
            for_schedule=command.for_schedule,
            request_digest=command.request_digest,
        )
    ]


def unskip(command: Unskip, state: Schedule) -> list[ScheduleEvent]:
    """Let a slot be as its series has it. Raises `Conflict`, `Invalid`, `AlreadyClaimed`."""
    check_open(state, "changed")
    if command.slot not in state.exceptions and command.slot not in state.changes:
        return []
    if command.begun:
        raise passed(command.slot, state, "put back")
    planned = slot_of_series(command.slot, state, command.context)
    if planned.due_at <= command.context.now:
        raise Conflict(
            "The slot lies in the past, so putting it back would never fire it.",
            field="slot",
            value=command.slot.local.isoformat(),
            hint="Trigger the schedule instead.",
        )
    comes_back = _comes_back(planned, command, state)
    return [
        SlotUnskipped(
            slot=command.slot,
            occurrence=occurrence_id(state.id, command.slot.local, command.slot.fold),
            next_unchanged=not comes_back,
            next=planned if comes_back else None,
            request_digest=command.request_digest,
        )
    ]


def change_slot(command: ChangeSlot, state: Schedule) -> list[ScheduleEvent]:
    """Change what one slot carries, or move it. Raises `VersionMismatch`, `Conflict`, `Invalid`, `AlreadyClaimed`."""
    check_version(command.if_match, state)
    check_open(state, "changed")
    check_of_all(command.changes, "this")
    slot = command.slot
    if not state.recurring:
        raise Invalid(
            "The schedule has a single occurrence.",
            field="scope",
            value="this",
            hint="Change the schedule itself: leave `scope` and `slot` out.",
        )
    moved = _moved_to(slot, state)
    planned = moved or slot_of_series(slot, state, command.context)
    skipped = slot in state.exceptions
    late = (
        planned.due_at <= command.context.now
        if skipped
        else lies_behind(planned, command.current, state, command.context.now)
    )
    if command.begun or (moved is None and late):
        raise passed(slot, state, "changed")
    if slot not in state.changes and len(state.changes) >= MAX_CHANGES:
        raise Conflict(
            f"{MAX_CHANGES} slots of the schedule are changed by themselves already.",
            field="slot",
            value=slot.local.isoformat(),
            hint="Change the series instead, or put other slots back.",
        )
    own = state.changes.get(slot)
    moved_by = own.timing if own is not None else None
    at, timing = moved, moved_by
    if "timing" in command.changes:
        timing = _moved_by(command, state)
        at = moved_to(timing, slot, planned.number, command.context)
    seen = state.seen_from(slot)
    given = {name: value for name, value in command.changes.items() if name not in ("timing", "recipient")}
    personal = Personal(**{name: given.get(name, getattr(seen.personal, name)) for name in Personal.model_fields})
    definition = Definition(
        **{name: given.get(name, getattr(seen.definition, name)) for name in Definition.model_fields}
    )
    # The same place by another timing is another move: a later change of zone carries it elsewhere.
    same_place = (at, timing) == (moved, moved_by)
    if (personal, definition) == (seen.personal, seen.definition) and same_place and not skipped:
        return []
    changed = tuple(sorted({*given, *(own.changed if own is not None else ())}))
    settled = command.settled or (own.settled if own is not None and at == moved else None)
    leaves = at is not None and moved is None and command.current.next is not None
    is_current = leaves and command.current.next is not None and command.current.next.slot == slot
    comes_back = at is None and _comes_back(planned, command, state)
    next_ = planned if comes_back else None
    if is_current:
        context = replace(command.context, exceptions=state.out | {slot})
        next_ = t.following(state.timing, planned, context)
    return [
        SlotChanged(
            slot=slot,
            occurrence=occurrence_id(state.id, slot.local, slot.fold),
            changed=changed,
            personal=personal,
            priority=definition.priority,
            delivery=definition.delivery,
            expires_after=definition.expires_after,
            at=at,
            timing=timing,
            settled=settled,
            next_unchanged=not (is_current or comes_back),
            next=next_,
            request_digest=command.request_digest,
        )
    ]


def _moved_to(slot: t.Slot, state: Schedule) -> t.Next | None:
    own = state.changes.get(slot)
    return own.at if own is not None else None


def _comes_back(planned: t.Next, command: Unskip | ChangeSlot, state: Schedule) -> bool:
    """Was it passed over, and does it now come before the slot at which the series stands?"""
    current = command.current.next
    out = command.slot in state.out
    return out and state.status is Status.ACTIVE and (current is None or is_before(planned, current))


def moved_to(timing: t.Timing, slot: t.Slot, number: int | None, context: t.Context) -> t.Next:
    """Where a slot of a series goes out by a timing of its own: its identity stays, its instant is that of the timing.

    `timing`: normalised, and does not recur. `number`: the slot's in its series.
    """
    to = t.first(timing, replace(context, exceptions=frozenset()))
    assert to is not None, "a one-off has a slot"
    text = f"{slot.local:%Y-%m-%d %H:%M} was moved by hand to {to.slot.local:%Y-%m-%d %H:%M}."
    reason = t.Reason(code="moved", text=text)
    plan = to.plan.model_copy(update={"reasons": (*to.plan.reasons, reason)})
    return t.Next(slot=slot, number=number, due_at=to.due_at, plan=plan)


def _moved_by(command: ChangeSlot, state: Schedule) -> t.Timing:
    """The timing given, normalised: a local time without a zone is one of the series'."""
    timing, slot = command.changes["timing"], command.slot
    if t.is_recurring(timing):
        raise Invalid(
            "One occurrence cannot recur.",
            field="timing.kind",
            value="every",
            hint='Give its new time, such as {"kind": "at", "local": "2027-01-04T15:00"}.',
        )
    if isinstance(timing, t.At) and timing.local is not None and timing.zone is None:
        rule = t.rule_for(state.timing, slot, command.context) if isinstance(state.timing, t.Every) else None
        timing = timing.model_copy(update={"zone": rule.zone if rule is not None else None})
    timing = t.normalise(timing, command.context)
    return timing if command.settled is None else t.shifted(timing, command.settled.shifted_by)
