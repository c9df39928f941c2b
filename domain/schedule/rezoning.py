"""What newer zone data, or another zone of the recipient's, do to the slots that are planned, and undoing it.

Planned are the slot at which a schedule stands, and those of a series that were moved by themselves; every later one
is planned by the data, and in the zone, of its time. Slots are local times, so newer rules change their instants; what
stays where it was has no event.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal
from uuid import UUID

from horae.domain import timing as t
from horae.domain.schedule.commands import Current
from horae.domain.schedule.events import ScheduleReplanned, SlotReplanned, Status
from horae.domain.schedule.judging import one_off_slot
from horae.domain.schedule.single import moved_to
from horae.domain.schedule.state import OwnChange, Schedule
from horae.domain.timing.series import follows_clock
from horae.domain.timing.zones import RECIPIENT, canonical

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
    """See whether what is planned is still where it was planned, by the zone data and in the recipient's zone of now.

    `handled`: slots that have been claimed or ended, of those that lie ahead by these data or were moved by themselves.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreSlot:
    """The same of a slot that was moved by itself. `begun`: its occurrence has events; fenced by the handler."""

    change: UUID
    moved: SlotReplanned
    context: t.Context
    begun: bool = False


@dataclass(frozen=True, slots=True)
class Rezoned:
    """What is to be done with a slot, and where it is by the zone data and zone of now, whatever is kept."""

    event: ScheduleReplanned
    after: t.Next | None


@dataclass(frozen=True, slots=True)
class RezonedSlot:
    """The same of a slot that was moved by itself."""

    event: SlotReplanned
    after: t.Next


def follows_recipient(timing: t.Timing) -> bool:
    """Do its slots go on depending on where the recipient lives, so that they are planned anew when they move?"""
    if isinstance(timing, t.Every):
        return any(rule.zone == RECIPIENT for rule in t.rules_of(timing))
    return isinstance(timing, t.At | t.Best) and timing.zone == RECIPIENT


def has_followers(state: Schedule) -> bool:
    """Does it follow them, or a slot of it that was moved by itself?"""
    own = (each.timing for each in state.changes.values())
    return follows_recipient(state.timing) or any(timing is not None and follows_recipient(timing) for timing in own)


def rezone(command: Rezone, state: Schedule) -> Rezoned | None:
    """Where the schedule's next slot goes; None: it stays, or there is none to move. One that is due already is being
    claimed.

    A slot whose new instant has passed goes out at once, late.
    """
    current, context = command.current.next, replace(command.context, exceptions=state.out)
    if current is not None and not state.recurring:
        # A one-off's slot is read off its timing, as it is now: the plan that stands is in its stream.
        current = state.next
    if state.status is not Status.ACTIVE or current is None or current.due_at <= context.now:
        return None
    if not _concerns(command, state.timing, current):
        return None
    after = _anew(state, current, context, command.handled)
    if not _goes(command, current, after):
        return None
    event = ScheduleReplanned(
        cause=command.cause,
        detail=_detail(command, current),
        before=current,
        next=_kept(command, current, after) if _keeps_instant(command, state, current) else after,
        change=command.change,
    )
    return Rezoned(event, after)


def rezone_moved(command: Rezone, state: Schedule) -> list[RezonedSlot]:
    """Where those slots go that were moved by themselves to a local time, and wait there; the others stay.

    They wait in a paused schedule, too. One that is due already is being claimed; one whose new instant has passed goes
    out at once, late.
    """
    if state.status is Status.CANCELLED:
        return []
    found = (_moved_anew(command, own) for own in state.changes.values())
    return [rezoned for rezoned in found if rezoned is not None]


def _moved_anew(command: Rezone, own: OwnChange) -> RezonedSlot | None:
    at, timing, context = own.at, own.timing, command.context
    if at is None or timing is None or at.slot in command.handled or at.due_at <= context.now:
        return None
    if not _concerns(command, timing, at):
        return None
    after = moved_to(timing, at.slot, at.number, replace(context, choice=at.plan.choice))
    if not _goes(command, at, after):
        return None
    event = SlotReplanned(
        cause=command.cause,
        detail=_detail(command, at),
        occurrence=own.occurrence,
        before=at,
        at=_kept(command, at, after) if command.keep == "instant" else after,
        change=command.change,
    )
    return RezonedSlot(event, after)


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
    return ScheduleReplanned(
        cause=moved.cause,
        detail=_undone(moved),
        # An ended series stands nowhere: what it was taken from is where it goes back to.
        before=current or moved.before,
        next=moved.before,
        change=command.change,
    )


def restore_moved(command: RestoreSlot, state: Schedule) -> SlotReplanned | str:
    """The same of a slot that was moved by itself."""
    moved = command.moved
    own = state.changes.get(moved.at.slot)
    if state.status is Status.CANCELLED:
        return "it is cancelled"
    if command.begun or own is None or own.at != moved.at:
        return "it has gone out or was changed since"
    if moved.at.due_at <= command.context.now:
        return "it is going out"
    return SlotReplanned(
        cause=moved.cause,
        detail=_undone(moved),
        occurrence=moved.occurrence,
        before=moved.at,
        at=moved.before,
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


def _concerns(command: Rezone, timing: t.Timing, planned: t.Next) -> bool:
    """May what has become another be anything to a slot that was planned like this?"""
    if isinstance(timing, t.In) and timing.delay.is_elapsed:
        return False  # so much later is so much later, whatever clocks show
    if command.cause == "zone":
        return planned.plan.tzdata != t.tzdata_version()
    # Else it was planned there, or its moment was kept over this very move.
    return follows_recipient(timing) and planned.plan.zone != _recipients_zone(command.context)


def _goes(command: Rezone, planned: t.Next, after: t.Next | None) -> bool:
    """Is it elsewhere now? What was kept at its moment is kept no longer where the recipient moves on."""
    stays = after is not None and (after.slot, after.due_at) == (planned.slot, planned.due_at)
    return not stays or (command.cause == "recipient" and _is_kept(planned))


def _detail(command: Rezone, planned: t.Next) -> str:
    if command.cause == "recipient":
        return command.context.recipient_zone or command.context.default_zone
    return f"zone data {planned.plan.tzdata} to {t.tzdata_version()}"


def _undone(moved: ScheduleReplanned | SlotReplanned) -> str:
    by_data = f"zone data {moved.before.plan.tzdata} to {t.tzdata_version()}"
    return f"undone: {moved.detail if moved.cause == 'recipient' else by_data}"


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
