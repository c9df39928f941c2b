"""What newer zone data, or another zone of the recipient's, do to the slot at which a schedule stands, and undoing it.

Only the slot that is planned already is concerned: every later one is planned by the data, and in the zone, of its
time. Slots are local times, so newer rules change their instants; a series whose next slot stays where it was has no
event.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal
from uuid import UUID

from horae.domain import timing as t
from horae.domain.schedule.commands import Current
from horae.domain.schedule.events import ScheduleReplanned, Status
from horae.domain.schedule.judging import one_off_slot
from horae.domain.schedule.state import Schedule
from horae.domain.timing.series import follows_clock
from horae.domain.timing.zones import canonical

Keep = Literal["wall_time", "instant"]
"""What stays of a planned slot: the time on the clock, or the moment."""

RezoneCause = Literal["zone", "recipient"]
"""What became another: the zone data, or the zone that the recipient prefers."""

#: Of the reason of a plan whose moment stayed.
_KEPT = "instant_kept"
#: So many slots of a series may have been dealt with and lie ahead again: a change of rules is one of hours.
_AGAIN = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Rezone:
    """See whether the next slot is still where it was planned, by the zone data and in the recipient's zone of now.

    `handled`: slots that have been claimed or ended, of those that lie ahead by these data.
    """

    change: UUID
    cause: RezoneCause = "zone"
    keep: Keep
    context: t.Context
    current: Current
    handled: Collection[t.Slot] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Restore:
    """Put the slot back that a change moved: `moved` is what it did to this schedule."""

    change: UUID
    moved: ScheduleReplanned
    #: Version of the schedule that `moved` made.
    version: int
    context: t.Context
    current: Current


@dataclass(frozen=True, slots=True)
class Rezoned:
    """What is to be done with a slot, and where it is by the zone data and zone of now, whatever is kept."""

    event: ScheduleReplanned
    after: t.Next | None


def rezone(command: Rezone, state: Schedule) -> Rezoned | None:
    """Where the slot goes; None: it stays, or there is none to move. One that is due already is being claimed.

    A slot whose new instant has passed goes out at once, late.
    """
    current, context = command.current.next, replace(command.context, exceptions=state.out)
    if current is not None and not state.recurring:
        # A one-off's slot is read off its timing, as it is now: the plan that stands is in its stream.
        current = state.next
    if state.status is not Status.ACTIVE or current is None or current.due_at <= context.now:
        return None
    if isinstance(state.timing, t.In) and state.timing.delay.is_elapsed:
        return None  # so much later is so much later, whatever clocks show
    moves, kept = command.cause == "recipient", _is_kept(current)
    if moves and current.plan.zone == _recipients_zone(context):
        return None  # it was planned there, or its moment was kept over this very move
    after = _anew(state, current, context, command.handled)
    if after is not None and (after.slot, after.due_at) == (current.slot, current.due_at) and not (moves and kept):
        return None
    before, version = current.plan.tzdata, t.tzdata_version()
    event = ScheduleReplanned(
        cause=command.cause,
        detail=(context.recipient_zone or context.default_zone) if moves else f"zone data {before} to {version}",
        before=current,
        next=_kept(command, current, after) if _keeps_instant(command, state, current) else after,
        change=command.change,
    )
    return Rezoned(event, after)


def coming_again(state: Schedule, current: t.Next, context: t.Context) -> list[t.Slot]:
    """Slots before the planned one that lie ahead by the zone data in use now: dealt with, or new."""
    if not state.recurring or state.status is not Status.ACTIVE:
        return []
    context = replace(context, exceptions=state.out)
    found: list[t.Slot] = []
    coming = t.anew(state.timing, current, context)
    while coming is not None and _order(coming) < _order(current) and len(found) < _AGAIN:
        found.append(coming.slot)
        coming = t.following(state.timing, coming, context)
    return found


def restore(command: Restore, state: Schedule) -> ScheduleReplanned | str:
    """The slot as it was before, or why it stays: it has moved on since."""
    current, moved = command.current.next, command.moved
    if current is not None and not state.recurring:
        current = state.next
    if state.status is not Status.ACTIVE:
        return f"it is {state.status.value}"
    if moved.next is None:
        if current is not None or state.version != command.version:
            return "it was changed since"
    elif current is None or (current.slot, current.due_at) != (moved.next.slot, moved.next.due_at):
        return "it has gone out or was changed since"
    elif current.due_at <= command.context.now:
        return "it is going out"
    by_data = f"zone data {moved.before.plan.tzdata} to {t.tzdata_version()}"
    return ScheduleReplanned(
        cause=moved.cause,
        detail=f"undone: {moved.detail if moved.cause == 'recipient' else by_data}",
        # An ended series stands nowhere: what it was taken from is where it goes back to.
        before=current or moved.before,
        next=moved.before,
        change=command.change,
    )


def _anew(state: Schedule, current: t.Next, context: t.Context, handled: Collection[t.Slot]) -> t.Next | None:
    if not state.recurring:
        return one_off_slot(state, context)
    coming = t.anew(state.timing, current, context)
    for _ in range(_AGAIN):
        if coming is None or coming.slot not in handled:
            break
        coming = t.following(state.timing, coming, context)
    return coming


def _keeps_instant(command: Rezone, state: Schedule, current: t.Next) -> bool:
    """Slots of rules by the hour or finer come by the clock wherever they are named: one that had its old name in
    another zone would have the series go on hours before or behind it."""
    if not isinstance(state.timing, t.Every):
        return command.keep == "instant"
    rule = t.rule_for(state.timing, current.slot, command.context)
    return command.keep == "instant" and not follows_clock(rule)


def _kept(command: Rezone, current: t.Next, moved: t.Next | None) -> t.Next:
    """The slot at its instant, and why its clock shows another time there."""
    version, zone = t.tzdata_version(), current.plan.zone
    by_now = "there is no such local time any more" if moved is None else f"it would be {moved.due_at:%Y-%m-%d %H:%M}Z"
    planned = f"Planned by zone data {current.plan.tzdata}; by {version} {by_now}."
    if command.cause == "recipient":
        before, zone = zone, _recipients_zone(command.context)
        planned = f"Planned in {before}; in {zone} {by_now}."
    reason = t.Reason(code=_KEPT, text=f"{planned} The instant was kept.")
    plan = current.plan.model_copy(update={"zone": zone, "tzdata": version, "reasons": (*current.plan.reasons, reason)})
    return current.model_copy(update={"plan": plan})


def _is_kept(planned: t.Next) -> bool:
    return any(reason.code == _KEPT for reason in planned.plan.reasons)


def _recipients_zone(context: t.Context) -> str:
    """By the name that plans have."""
    return canonical(context.recipient_zone or context.default_zone)


def _order(slot: t.Next) -> tuple[object, ...]:
    return slot.slot.local, slot.slot.fold
