"""What other schedules do in favour of one that asks about conflicts: their slots give way, or they take it in.

Place in the flow: `conflicts` decides who -> *here*: the events of their own streams, by their own deciders.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from horae.commands.ports import StreamConflict
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.draft import check_fields
from horae.domain.errors import AlreadyClaimed


def give_way(
    favoured: UUID, priority: int, state: s.Schedule, context: t.Context, current: s.Current, slots: Sequence[t.Slot]
) -> list[s.ScheduleEvent]:
    """A one-off is cancelled, of a series the slots are skipped. Raises `StreamConflict` where one has just gone."""
    if not state.recurring:
        reason = f"Gave way to schedule {favoured}, whose priority is {priority}."
        return s.decide(s.Cancel(reason=reason, for_schedule=favoured), state)
    events: list[s.ScheduleEvent] = []
    for slot in slots:
        there = replace(context, exceptions=state.out)
        skip = s.Skip(slot=slot, context=there, current=current, for_schedule=favoured)
        try:
            bodies = s.decide(skip, state)
        except AlreadyClaimed:
            raise StreamConflict(state.id, state.version, state.version) from None
        for body in bodies:
            assert isinstance(body, s.SlotSkipped)
            state = s.evolve(state, state.id, body)
            current = current if body.next_unchanged else s.Current(next=body.next)
        events += bodies
    return events


def take_in(
    taken: UUID,
    priority: int,
    content: Mapping[str, Any],
    state: s.Schedule,
    context: t.Context,
    current: s.Current,
) -> list[s.ScheduleEvent]:
    """It takes the content in, wherever it has its own, and is at least as pressing as the other would have been.

    Raises `Invalid` where that is too much for one message.
    """
    command = s.TakeIn(taken=taken, content=content, priority=priority, context=context, current=current)
    events = s.decide(command, state)
    for event in events:
        assert isinstance(event, s.ScheduleChanged | s.SlotChanged)
        check_fields({"content": event.personal.content})
    return events
