"""Moves the slots at which schedules stand, and puts them back, each append with its part of the report.

Place in the flow: `zonechanges` and `recipientmoves` -> *here* -> domain, log. Whatever moved them, it is done alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

from horae.commands.context import Call, meta_of, until_no_conflict
from horae.commands.ports import Clock, EventStore, Ids
from horae.commands.zonelooking import Looking
from horae.commands.zonereports import Report
from horae.domain import schedule as s
from horae.domain import zonechange as z
from horae.domain.envelope import Event, NewEvent, Recorded
from horae.domain.ids import shard_of


class Moving:
    """Appends of one installation; stateless."""

    def __init__(self, store: EventStore, clock: Clock, ids: Ids, looking: Looking) -> None:
        self._store, self._clock, self._ids, self._looking = store, clock, ids, looking

    async def move(
        self, call: Call, change: UUID, keep: s.Keep, schedules: Sequence[UUID], cause: s.RezoneCause = "zone"
    ) -> list[z.Move]:
        """Plan anew what moves of these, in one append with its part of the report."""

        async def attempt() -> list[z.Move]:
            standing, expects = await self._looking.fenced(call.tenant, schedules)
            looked = await self._looking.look(call.tenant, change, keep, standing, cause)
            events = [self._replanned(call, each.state, each.rezoned.event) for each in looked if each.rezoned]
            moves = [move for each in looked if (move := each.move) is not None]
            if events:
                events.append(await self._part(call, change, z.SlotsMoved(change=change, moves=tuple(moves))))
                await self._store.append(events, expects, lane="bulk")
            return moves

        return await until_no_conflict(attempt)

    async def restore_rest(self, call: Call, found: Report, part: int) -> tuple[tuple[UUID, ...], Mapping[UUID, str]]:
        """Put back what the change moved and nobody has moved since, `part` schedules together.

        Which schedules are back, also by an earlier attempt that was broken off; and schedule -> why its slot stayed.
        """
        change = found.change.id
        restored, left = list(found.restored), dict(found.left)
        done = {*restored, *left}
        open_ = [move.schedule_id for move in found.moves if move.schedule_id not in done]
        for start in range(0, len(open_), part):
            done_now = await self._restore(call, change, open_[start : start + part])
            restored += done_now.restored
            left |= done_now.left
        return tuple(restored), left

    async def tell(self, call: Call, stream: UUID, body: Event, shard: int | None = None) -> None:
        """Record it in a stream of changes; `shard`: the recipient's, if it is one's."""
        shard = shard_of(call.tenant, str(stream)) if shard is None else shard

        async def attempt() -> int:
            version = await self._store.scoped(call.tenant).version(stream) + 1
            return await self._store.append([self._event(call, stream, version, body, shard)])

        await until_no_conflict(attempt)

    # --- parts ------------------------------------------------------------------------------------------------------

    async def _restore(self, call: Call, change: UUID, schedules: Sequence[UUID]) -> z.SlotsRestored:
        async def attempt() -> z.SlotsRestored:
            standing, expects = await self._looking.fenced(call.tenant, schedules)
            events: list[NewEvent] = []
            left: dict[UUID, str] = {}
            for each in standing:
                version, moved = _moved(each.events, change)
                command = s.Restore(
                    change=change, moved=moved, version=version, context=each.context, current=each.current
                )
                decided = s.restore(command, each.state)
                if isinstance(decided, str):
                    left[each.state.id] = decided
                else:
                    events.append(self._replanned(call, each.state, decided))
            restored = tuple(event.stream for event in events)
            body = z.SlotsRestored(change=change, restored=restored, left=left)
            await self._store.append([*events, await self._part(call, change, body)], expects, lane="bulk")
            return body

        return await until_no_conflict(attempt)

    # --- events -----------------------------------------------------------------------------------------------------

    def _replanned(self, call: Call, state: s.Schedule, body: s.ScheduleReplanned) -> NewEvent:
        shard = shard_of(call.tenant, state.personal.recipient)
        return self._event(call, state.id, state.version + 1, body, shard)

    async def _part(self, call: Call, change: UUID, body: Event) -> NewEvent:
        stream = z.slots_stream(call.tenant, change)
        version = await self._store.scoped(call.tenant).version(stream) + 1
        return self._event(call, stream, version, body, shard_of(call.tenant, str(stream)))

    def _event(self, call: Call, stream: UUID, version: int, body: Event, shard: int) -> NewEvent:
        now = self._clock.now()
        meta = meta_of(call, event_id=self._ids.new(), shard=shard, now=now, correlation_id=stream)
        return NewEvent(stream, version, meta, body)


def _moved(events: Sequence[Recorded], change: UUID) -> tuple[int, s.ScheduleReplanned]:
    """What the change did to the schedule of these events, and the version that this made."""
    for event in events:
        if isinstance(event.body, s.ScheduleReplanned) and event.body.change == change:
            return event.version, event.body
    raise ValueError(f"the change {change} did nothing to the schedule {events[0].stream}")
