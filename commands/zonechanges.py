"""Newer zone data: which planned slots they move, moving them, and taking that back.

Place in the flow: CLI, api -> *here* -> domain, log. Which slots were planned by another release is a read model's to
say; every schedule is decided on its own stream, and what was done is recorded in the same append.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from horae.commands.context import Call, meta_of, until_no_conflict
from horae.commands.ports import Clock, EventStore, Ids, SeriesPointers
from horae.commands.zonelooking import Looking
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain import zonechange as z
from horae.domain.envelope import Event, NewEvent, Recorded
from horae.domain.errors import Conflict, NotFound
from horae.domain.ids import shard_of
from horae.domain.timing.opendays import USUAL, Standard

#: Planned slots that are looked at together.
PAGE = 200
#: Schedules that move together, in one append with their part of the report.
PART = 100
_NO_CHANGE = UUID(int=0)


class PlansOfOthers(Protocol):
    """The slots that wait, as a read model knows them."""

    async def planned_by_others(
        self, tenant: str, version: str, after: UUID | None, limit: int
    ) -> list[tuple[UUID, t.Next]]:
        """Active schedules and where they stand, if that was planned by zone data other than `version`.

        At most `limit`, by id, those behind `after`. Plans that needed no zone are left out.
        """
        ...


@dataclass(frozen=True, slots=True)
class Survey:
    """What of a tenant's plans was made by another release, and what of it moves."""

    tenant: str
    checked: int
    moves: tuple[z.Move, ...]


@dataclass(frozen=True, slots=True)
class Glance:
    """The same of so many of them; `after`: behind which schedule the next glance begins, None: this was the last."""

    checked: int
    moves: tuple[z.Move, ...]
    after: UUID | None


@dataclass(frozen=True, slots=True)
class Report:
    """A change with every slot that it concerned, in the order in which it was done.

    Once it is undone, or while that is under way: `restored` are back, `left` is schedule -> why its slot stayed.
    """

    change: z.Change
    moves: tuple[z.Move, ...]
    restored: tuple[UUID, ...]
    left: Mapping[UUID, str]


@dataclass(frozen=True, slots=True)
class Undone:
    """What became of the slots that a change had moved; `left`: schedule -> why its slot stayed."""

    tenant: str
    change: UUID
    restored: tuple[UUID, ...]
    left: Mapping[UUID, str]


class ZoneChanges:
    """Brings plans to the release in use, tenant by tenant, and back."""

    def __init__(
        self,
        store: EventStore,
        clock: Clock,
        ids: Ids,
        pointers: SeriesPointers,
        plans: PlansOfOthers,
        default_zone: str = "UTC",
        standard: Standard = USUAL,
    ) -> None:
        self._store, self._clock, self._ids, self._plans = store, clock, ids, plans
        self._looking = Looking(store, clock, pointers, default_zone, standard)

    async def survey(self, tenant: str) -> Survey:
        """What would move; nothing is stored."""
        checked = 0
        moves: list[z.Move] = []
        after: UUID | None = None
        while True:
            seen = await self.glance(tenant, after, PAGE)
            checked += seen.checked
            moves += seen.moves
            after = seen.after
            if after is None:
                return Survey(tenant, checked, tuple(moves))

    async def glance(self, tenant: str, after: UUID | None, limit: int) -> Glance:
        """What would move of the next `limit` schedules behind `after` that another release planned, by id."""
        rows = await self._plans.planned_by_others(tenant, t.tzdata_version(), after, limit)
        standing = await self._looking.at(tenant, dict(rows)) if rows else []
        looked = await self._looking.look(tenant, _NO_CHANGE, "wall_time", standing)
        moves = tuple(move for each in looked if (move := each.move) is not None)
        return Glance(len(rows), moves, rows[-1][0] if len(rows) == limit else None)

    async def apply(self, call: Call, change: UUID, keep: s.Keep) -> Survey:
        """Plan anew what moves, by an event for each schedule, and record it all under `change`; nothing if none does.

        Under `keep` `instant` the slots stay where they are, and their plans say so. What was broken off is finished
        by another change: what has moved is not looked at again.
        """
        surveyed = await self.survey(call.tenant)
        if not surveyed.moves:
            return surveyed
        await self._tell(call, z.ZoneDataAdopted(change=change, version=t.tzdata_version(), keep=keep))
        moves: list[z.Move] = []
        concerned = [move.schedule_id for move in surveyed.moves]
        for start in range(0, len(concerned), PART):
            moves += await self._move(call, change, keep, concerned[start : start + PART])
        zones = dict(sorted(Counter(move.zone for move in moves).items()))
        await self._tell(call, z.ZoneDataReported(change=change, checked=surveyed.checked, zones=zones))
        return Survey(call.tenant, surveyed.checked, tuple(moves))

    async def undo(self, call: Call, change: UUID) -> Undone:
        """Put back what the change moved and nobody has moved since. Raises `NotFound`, `Conflict` if it was undone."""
        found = await self.report(call.tenant, change)
        if found.change.undone_at is not None:
            raise Conflict("This change was undone already.", field="change", value=str(change))
        # Not empty where an undoing was broken off.
        restored, left = list(found.restored), dict(found.left)
        done = {*restored, *left}
        open_ = [move.schedule_id for move in found.moves if move.schedule_id not in done]
        for start in range(0, len(open_), PART):
            done_now = await self._restore(call, change, open_[start : start + PART])
            restored += done_now.restored
            left |= done_now.left
        await self._tell(call, z.ZoneDataUndone(change=change, restored=len(restored), left=len(left)))
        return Undone(call.tenant, change, tuple(restored), left)

    async def changes(self, tenant: str) -> list[z.Change]:
        """Every change of the tenant's plans, oldest first."""
        events = await self._store.scoped(tenant).load(z.changes_stream(tenant))
        return z.changes([(event.body, event.meta.recorded_at) for event in events])

    async def report(self, tenant: str, change: UUID) -> Report:
        """One of them as a whole. Raises `NotFound`."""
        found = next((each for each in await self.changes(tenant) if each.id == change), None)
        if found is None:
            raise NotFound("There is no such change of zone data.", field="change", value=str(change))
        moves: list[z.Move] = []
        restored: list[UUID] = []
        left: dict[UUID, str] = {}
        for part in await self._store.scoped(tenant).load(z.slots_stream(tenant, change)):
            match part.body:
                case z.SlotsMoved() as moved:
                    moves += moved.moves
                case z.SlotsRestored() as back:
                    restored += back.restored
                    left |= back.left
                case other:
                    raise ValueError(f"{other.name} is not an event of this stream")
        return Report(found, tuple(moves), tuple(restored), left)

    # --- parts ------------------------------------------------------------------------------------------------------

    async def _move(self, call: Call, change: UUID, keep: s.Keep, schedules: Sequence[UUID]) -> list[z.Move]:
        async def attempt() -> list[z.Move]:
            standing, expects = await self._looking.fenced(call.tenant, schedules)
            looked = await self._looking.look(call.tenant, change, keep, standing)
            events = [self._replanned(call, each.state, each.rezoned.event) for each in looked if each.rezoned]
            moves = [move for each in looked if (move := each.move) is not None]
            if events:
                events.append(await self._part(call, change, z.SlotsMoved(change=change, moves=tuple(moves))))
                await self._store.append(events, expects, lane="bulk")
            return moves

        return await until_no_conflict(attempt)

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
        version = len(await self._store.scoped(call.tenant).load(stream)) + 1
        return self._event(call, stream, version, body, shard_of(call.tenant, str(stream)))

    async def _tell(self, call: Call, body: Event) -> None:
        stream = z.changes_stream(call.tenant)

        async def attempt() -> int:
            version = len(await self._store.scoped(call.tenant).load(stream)) + 1
            event = self._event(call, stream, version, body, shard_of(call.tenant, str(stream)))
            return await self._store.append([event])

        await until_no_conflict(attempt)

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
