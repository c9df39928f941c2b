"""Where a schedule stands among its slots: the fence of every command that moves or removes one.

Firing never touches a schedule's stream, so the current slot is looked up outside it: a one-off's is a function of its
timing, a series' comes from a read model and is followed up in the log from there, because the read model may lag.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from horae.commands.candidates import fold
from horae.commands.ports import EventReader, SeriesPointers
from horae.domain import occurrence as o
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain.envelope import Recorded
from horae.domain.errors import Unavailable
from horae.domain.ids import occurrence_id

#: How many slots a series may have moved on while the read model lagged.
MAX_LAG_SLOTS = 1_000


async def stand(
    reader: EventReader, pointers: SeriesPointers, tenant: str, state: s.Schedule, context: t.Context
) -> tuple[s.Current, Mapping[UUID, int]]:
    """The schedule's current slot, and what the append must expect so that nobody claims that slot meanwhile."""
    if not state.recurring:
        return await _stand_of_one_off(reader, state, context)
    if state.status is not s.Status.ACTIVE:
        # Nothing is claimed while it is paused, and resuming moves the schedule's own head.
        return s.NOT_READ, {}
    slot = await pointers.current(tenant, state.id, state.version)
    for _ in range(MAX_LAG_SLOTS):
        if slot is None:
            return s.NOT_READ, {}
        occurrence = occurrence_id(state.id, slot.slot.local, slot.slot.fold)
        events = await reader.load(occurrence)
        if not events:
            return s.Current(next=slot), {occurrence: 0}
        slot = _moved_on(slot, events, state, context)
    raise Unavailable(
        "The read model lags too far behind the series.", field="id", value=str(state.id), hint="Try again."
    )


async def status_of_one_off(reader: EventReader, state: s.Schedule, context: t.Context) -> str | None:
    """Where the occurrence of a schedule that does not recur stands, or how it ended; None: it has not begun."""
    slot = s.one_off_slot(state, context).slot
    occurrence = fold(await reader.load(occurrence_id(state.id, slot.local, slot.fold)))
    if occurrence is None:
        return None
    return (occurrence.outcome or occurrence.phase if occurrence.phase is o.Phase.ENDED else occurrence.phase).value


async def _stand_of_one_off(
    reader: EventReader, state: s.Schedule, context: t.Context
) -> tuple[s.Current, Mapping[UUID, int]]:
    slot = s.one_off_slot(state, context)
    occurrence = occurrence_id(state.id, slot.slot.local, slot.slot.fold)
    if await reader.load(occurrence, upto_version=1):
        return s.Current(next=None, begun=True), {}
    if slot.slot in state.exceptions:
        return s.NOT_READ, {}
    return s.Current(next=slot), {occurrence: 0}


def _moved_on(slot: t.Next, events: Sequence[Recorded], state: s.Schedule, context: t.Context) -> t.Next | None:
    """The slot after one that has been handled: as its own events say, if they were decided on this very schedule."""
    for event in reversed(events):
        match event.body:
            case o.OccurrenceClaimed(moves=True) | o.OccurrenceDeferred(moves=True) | o.OccurrenceEnded(moves=True):
                pass
            case o.OccurrenceMissed() | o.SlotPassed():
                pass
            case _:
                continue
        if event.body.schedule_version == state.version:
            return event.body.next
        break
    return t.following(state.timing, slot, context)
