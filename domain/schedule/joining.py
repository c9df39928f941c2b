"""Another schedule's content taken in, beside what each of the slots to come has for itself."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from horae.domain import timing as t
from horae.domain.personal import Personal
from horae.domain.schedule.commands import TakeIn
from horae.domain.schedule.events import Definition, ScheduleChanged, ScheduleEvent, SlotChanged
from horae.domain.schedule.judging import check_open, lies_behind
from horae.domain.schedule.state import OwnChange, Schedule


def take_in(command: TakeIn, state: Schedule) -> list[ScheduleEvent]:
    """What holds from the beginning, from each later slot on, and of slots to come by themselves, with the content.

    At least as pressing as the other would have been. Raises `Conflict`.
    """
    check_open(state, "changed")
    parts: list[tuple[t.Slot | None, datetime | None, Personal, Definition]]
    parts = [(None, None, state.personal, state.definition)]
    parts += [(later.since, later.since_at, later.personal, later.definition) for later in state.later]
    lifted = any(definition.priority < command.priority for _, _, _, definition in parts)
    events: list[ScheduleEvent] = [
        ScheduleChanged(
            personal=_with_content(personal, command),
            definition=definition.model_copy(
                update={"timing": state.timing, "priority": max(definition.priority, command.priority)}
            ),
            changed=("content", "priority") if lifted else ("content",),
            next_unchanged=True,
            since=since,
            since_at=since_at,
            settled=state.settled,
            for_schedule=command.taken,
        )
        for since, since_at, personal, definition in parts
    ]
    events += [_slot(slot, own, command) for slot, own in state.changes.items() if _concerns(slot, own, command, state)]
    return events


def _concerns(slot: t.Slot, own: OwnChange, command: TakeIn, state: Schedule) -> bool:
    """Whether a slot to come has something for itself that the series' change would not reach."""
    if "content" not in own.changed and not ("priority" in own.changed and own.priority < command.priority):
        return False
    now = command.context.now
    if own.at is not None:
        return own.at.due_at > now
    planned = t.find(state.timing, slot, command.context)
    return planned is not None and not lies_behind(planned, command.current, state, now)


def _slot(slot: t.Slot, own: OwnChange, command: TakeIn) -> SlotChanged:
    return SlotChanged(
        slot=slot,
        occurrence=own.occurrence,
        changed=own.changed,
        personal=_with_content(own.personal, command),
        priority=max(own.priority, command.priority),
        delivery=own.delivery,
        expires_after=own.expires_after,
        at=own.at,
        timing=own.timing,
        settled=own.settled,
        next_unchanged=True,
    )


def _with_content(personal: Personal, command: TakeIn) -> Personal:
    merged = personal.content.get("merged", [])
    joined: list[Any] = [*(merged if isinstance(merged, list) else [merged])]
    joined.append({"schedule": str(command.taken), "content": dict(command.content)})
    return personal.model_copy(update={"content": {**personal.content, "merged": joined}})
