"""Moves the planned slots of schedules, and puts them back, each append with its part of the report.

Place in the flow: `zonechanges` and `recipientmoves` -> *here* -> domain, log. Whatever moved them, it is done alike.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from uuid import UUID

from horae.commands.context import Call, meta_of, until_no_conflict
from horae.commands.ports import Clock, EventStore, Ids
from horae.commands.zonelooking import Looking, Standing
from horae.commands.zonereports import Report
from horae.domain import schedule as s
from horae.domain import zonechange as z
from horae.domain.envelope import Event, NewEvent
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
            events: list[NewEvent] = []
            for each in looked:
                events += self._replanned(call, each.state, [rezoned.event for rezoned in each.rezoned])
                expects |= each.unbegun
            moves = [move for each in looked for move in each.moves]
            if events:
                events.append(await self._part(call, change, z.SlotsMoved(change=change, moves=tuple(moves))))
                await self._store.append(events, expects, lane="bulk")
            return moves

        return await until_no_conflict(attempt)

    async def restore_rest(self, call: Call, found: Report, part: int) -> tuple[tuple[UUID, ...], Mapping[UUID, str]]:
        """Put back what the change moved and nobody has moved since, about `part` slots together.

        Which are back, also by an earlier attempt that was broken off; and why the others stayed: see `Move.key`.
        """
        change = found.change.id
        restored, left = list(found.restored), dict(found.left)
        done = {*restored, *left}
        for moves in parts_of([move for move in found.moves if move.key not in done], part):
            done_now = await self._restore(call, change, moves)
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

    async def _restore(self, call: Call, change: UUID, moves: Sequence[z.Move]) -> z.SlotsRestored:
        open_ = {move.key for move in moves}

        async def attempt() -> z.SlotsRestored:
            standing, expects = await self._looking.fenced(call.tenant, schedules_of(moves))
            alone = {move.occurrence for move in moves if move.occurrence is not None}
            begun = await self._store.scoped(call.tenant).load_many(alone) if alone else {}
            events: list[NewEvent] = []
            restored: list[UUID] = []
            left: dict[UUID, str] = {}
            for each in standing:
                decided = _decided(change, each, open_, begun)
                left |= {key: answer for key, answer in decided.items() if isinstance(answer, str)}
                bodies = {key: answer for key, answer in decided.items() if not isinstance(answer, str)}
                events += self._replanned(call, each.state, list(bodies.values()))
                expects |= dict.fromkeys(bodies.keys() & alone, 0)
                restored += bodies
            body = z.SlotsRestored(change=change, restored=tuple(restored), left=left)
            await self._store.append([*events, await self._part(call, change, body)], expects, lane="bulk")
            return body

        return await until_no_conflict(attempt)

    # --- events -----------------------------------------------------------------------------------------------------

    def _replanned(
        self, call: Call, state: s.Schedule, bodies: Sequence[s.ScheduleReplanned | s.SlotReplanned]
    ) -> list[NewEvent]:
        shard = shard_of(call.tenant, state.personal.recipient)
        return [
            self._event(call, state.id, state.version + number, body, shard) for number, body in enumerate(bodies, 1)
        ]

    async def _part(self, call: Call, change: UUID, body: Event) -> NewEvent:
        stream = z.slots_stream(call.tenant, change)
        version = await self._store.scoped(call.tenant).version(stream) + 1
        return self._event(call, stream, version, body, shard_of(call.tenant, str(stream)))

    def _event(self, call: Call, stream: UUID, version: int, body: Event, shard: int) -> NewEvent:
        now = self._clock.now()
        meta = meta_of(call, event_id=self._ids.new(), shard=shard, now=now, correlation_id=stream)
        return NewEvent(stream, version, meta, body)


def schedules_of(moves: Sequence[z.Move]) -> list[UUID]:
    """Each once, in their order."""
    return list(dict.fromkeys(move.schedule_id for move in moves))


def parts_of(moves: Sequence[z.Move], most: int) -> Iterator[list[z.Move]]:
    """Moves that are dealt with together: `most` of them, or all of one schedule if these are more."""
    part: list[z.Move] = []
    for _, group in groupby(moves, attrgetter("schedule_id")):
        own = list(group)
        if part and len(part) + len(own) > most:
            yield part
            part = []
        part += own
    if part:
        yield part


def _decided(
    change: UUID, standing: Standing, keys: Collection[UUID], begun: Collection[UUID]
) -> dict[UUID, s.ScheduleReplanned | s.SlotReplanned | str]:
    """What becomes of the slots that a change moved of one schedule, in the order in which they were moved."""
    decided: dict[UUID, s.ScheduleReplanned | s.SlotReplanned | str] = {}
    for event in standing.events:
        match event.body:
            case s.ScheduleReplanned(change=by) as moved if by == change:
                own = s.Restore(
                    change=change,
                    moved=moved,
                    version=event.version,
                    context=standing.context,
                    current=standing.current,
                )
                if standing.state.id in keys:
                    decided.setdefault(standing.state.id, s.restore(own, standing.state))
            case s.SlotReplanned(change=by) as alone if by == change:
                one = s.RestoreSlot(
                    change=change, moved=alone, context=standing.context, begun=alone.occurrence in begun
                )
                if alone.occurrence in keys:
                    decided.setdefault(alone.occurrence, s.restore_moved(one, standing.state))
            case _:
                continue
    return decided
