"""The slots of other schedules that one is compared with, as their streams and a read model have them.

Place in the flow: `conflicts` has loaded them -> *here* -> `domain.conflicts`. What firing has done is not in a
schedule's stream: the read model's instant says how far a series has come.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice, takewhile
from operator import attrgetter
from uuid import UUID

from horae.commands.ports import Neighbour
from horae.domain import conflicts as c
from horae.domain import schedule as s
from horae.domain import timing as t

#: So many slots of all the others together are compared.
MOST_SLOTS = 20_000
_TICK = timedelta(microseconds=1)


def others_slots(
    near: Sequence[Neighbour],
    states: Mapping[UUID, s.Schedule],
    contexts: Mapping[UUID, t.Context],
    since: datetime,
    until: datetime,
) -> tuple[list[c.Other], datetime]:
    """The others' slots between the two instants, and up to when these are all: of dense ones only the first."""
    share = max(1, MOST_SLOTS // max(1, len(states)))
    others: list[c.Other] = []
    complete = until
    for each in near:
        state = states.get(each.schedule)
        if state is None:
            continue
        recurring = state.recurring
        slots = [state.next] if state.next is not None else []
        if recurring:
            context, slots = contexts[each.schedule], []
            if each.due_at is not None:
                # What is due and not yet claimed counts, what was claimed does not.
                begin = max(since, min(context.now, each.due_at) - _TICK)
                found = t.coming(state.timing, begin, context)
                slots = list(islice(takewhile(lambda at: at.due_at < until, found), share + 1))
            if len(slots) > share:
                complete = min(complete, slots[-1].due_at)
            # Where slots were moved to they wait by themselves; what was due before has gone, or is about to.
            slots += [at for at in state.moved.values() if max(since, context.now) < at.due_at < until]
            slots.sort(key=attrgetter("due_at"))
        others.append(_other(state, slots))
    return others, complete


def _other(state: s.Schedule, slots: Sequence[t.Next]) -> c.Other:
    usual = state.definition.priority
    seen = {at.slot: state.seen_from(at.slot) for at in slots}
    channels = {each.personal.channel for each in seen.values()}
    own = {slot: each.definition.priority for slot, each in seen.items() if each.definition.priority != usual}
    channel = channels.pop() if len(channels) == 1 else None
    return c.Other(state.id, usual, channel, state.recurring, tuple(slots), own)


def moved_slots(state: s.Schedule, now: datetime) -> dict[t.Slot, UUID]:
    """The slots that wait by themselves where they were moved to, with their occurrences."""
    moved = ((slot, own) for slot, own in state.changes.items() if own.at is not None and own.at.due_at > now)
    return {slot: own.occurrence for slot, own in moved}


def as_it_comes(state: s.Schedule, context: t.Context) -> s.Schedule:
    """The schedule with what its series has from its next slot on: what held before is of the past."""
    slot = _next_slot(state, context) if state.later else None
    return state if slot is None else state.as_series(slot)


def differ(state: s.Schedule, context: t.Context) -> bool:
    """Whether slots to come have a content, a channel or a time that their series does not have from its next on."""
    slot = _next_slot(state, context) if state.later else None
    if slot is not None:
        usual = _sent_as(state.as_series(slot))
        to_come = (later for later in state.later if s.order(later.since) > s.order(slot))
        if any(_sent_as(later) != usual for later in to_come):
            return True
    if moved_slots(state, context.now):
        return True
    own = [slot for slot, each in state.changes.items() if {"content", "channel"} & {*each.changed}]
    return any((at := t.find(state.timing, slot, context)) is not None and at.due_at > context.now for slot in own)


def _next_slot(state: s.Schedule, context: t.Context) -> t.Slot | None:
    coming = t.first(state.timing, replace(context, exceptions=state.out))
    return coming.slot if coming is not None else None


def _sent_as(part: s.Schedule | s.Later) -> tuple[object, ...]:
    return part.personal.content, part.personal.channel
