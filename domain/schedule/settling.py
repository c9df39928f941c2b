"""What a settlement among other schedules means for the schedule itself."""

from __future__ import annotations

from dataclasses import replace

from horae.domain import timing as t
from horae.domain.schedule import deciding
from horae.domain.schedule.commands import Change, Command, Current, Skip
from horae.domain.schedule.events import ScheduleCancelled, ScheduleEvent, SlotSkipped
from horae.domain.schedule.state import Schedule, evolve


def decide(command: Command, state: Schedule) -> list[ScheduleEvent]:
    """What follows from the command; see `deciding.decide`. A change that was settled anew may go on with what that
    means for the schedule itself.
    """
    events = deciding.decide(command, state)
    if not isinstance(command, Change) or command.settled is None or not events:
        return events
    after = state
    for event in events:
        after = evolve(after, state.id, event)
    unchanged = getattr(events[0], "next_unchanged", False)
    current = command.current if unchanged else Current(next=after.next)
    return events + follow_ups(after, command.context, current)


def follow_ups(state: Schedule, context: t.Context, current: Current) -> list[ScheduleEvent]:
    """What a settlement means for the schedule itself, which holds it: its cancellation, or slots that are skipped.

    `current` is where it stands; as many events as `Settlement.follow_ups` says.
    """
    settled = state.settled
    if settled is None:
        return []
    first = settled.against[0] if settled.against else None
    if settled.action == "merged":
        return [ScheduleCancelled(reason=f"Merged into schedule {settled.into}.", for_schedule=settled.into)]
    if settled.action == "given_way" and first is not None:
        reason = f"Gave way to schedule {first.schedule}, whose priority is {first.priority}."
        return [ScheduleCancelled(reason=reason, for_schedule=first.schedule)]
    events: list[ScheduleEvent] = []
    for slot in settled.skipped:
        there = replace(context, exceptions=state.out)
        stronger = first.schedule if first is not None else None
        (event,) = deciding.decide(Skip(slot=slot, context=there, current=current, for_schedule=stronger), state)
        events.append(event)
        state = evolve(state, state.id, event)
        assert isinstance(event, SlotSkipped)
        current = current if event.next_unchanged else Current(next=event.next)
    return events
