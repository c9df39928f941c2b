"""Newer zone data: which planned slots they move, moving them, and taking that back.

Place in the flow: CLI, api -> *here* -> domain, log. Which slots were planned by another release is a read model's to
say; every schedule is decided on its own stream, and what was done is recorded in the same append.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from horae.commands.context import Call
from horae.commands.ports import Clock, EventStore, Ids, SeriesPointers
from horae.commands.zonelooking import Looking
from horae.commands.zonemoving import Moving, parts_of, schedules_of
from horae.commands.zonereports import Place, Report, ReportPage, changes_of, page_of, whole_of
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.domain import zonechange as z
from horae.domain.errors import Conflict
from horae.domain.timing.opendays import USUAL, Standard

#: Schedules that are looked at together.
PAGE = 200
#: Slots that move together, in one append with their part of the report.
PART = 100
_NO_CHANGE = UUID(int=0)


class PlansOfOthers(Protocol):
    """The slots that wait, as a read model knows them."""

    async def planned_by_others(
        self, tenant: str, version: str, after: UUID | None, limit: int
    ) -> list[tuple[UUID, t.Next | None, int]]:
        """Schedules with anything that was planned by zone data other than `version`: where they stand, if that was
        (None: that was not, or they are paused), and how many slots that were moved by themselves, and wait.

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
class Undone:
    """What became of the slots that a change had moved, by `Move.key`; `left`: why a slot stayed."""

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
        self._store, self._plans = store, plans
        self._looking = Looking(store, clock, pointers, default_zone, standard)
        self._moving = Moving(store, clock, ids, self._looking)

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
        standing = await self._looking.at(tenant, {id_: at for id_, at, _ in rows}) if rows else []
        looked = await self._looking.look(tenant, _NO_CHANGE, "wall_time", standing)
        moves = tuple(move for each in looked for move in each.moves)
        checked = sum((at is not None) + alone for _, at, alone in rows)
        return Glance(checked, moves, rows[-1][0] if len(rows) == limit else None)

    async def apply(self, call: Call, change: UUID, keep: s.Keep) -> Survey:
        """Plan anew what moves, by an event for each schedule, and record it all under `change`; nothing if none does.

        Under `keep` `instant` the slots stay where they are, and their plans say so. What was broken off is finished
        by another change: what has moved is not looked at again.
        """
        surveyed = await self.survey(call.tenant)
        if not surveyed.moves:
            return surveyed
        stream = z.changes_stream(call.tenant)
        await self._moving.tell(call, stream, z.ZoneDataAdopted(change=change, version=t.tzdata_version(), keep=keep))
        moves: list[z.Move] = []
        for part in parts_of(surveyed.moves, PART):
            moves += await self._moving.move(call, change, keep, schedules_of(part))
        zones = dict(sorted(Counter(move.zone for move in moves).items()))
        await self._moving.tell(call, stream, z.ZoneDataReported(change=change, checked=surveyed.checked, zones=zones))
        return Survey(call.tenant, surveyed.checked, tuple(moves))

    async def undo(self, call: Call, change: UUID) -> Undone:
        """Put back what the change moved and nobody has moved since. Raises `NotFound`, `Conflict` if it was undone."""
        found = await self.report(call.tenant, change)
        if found.change.undone_at is not None:
            raise Conflict("This change was undone already.", field="change", value=str(change))
        restored, left = await self._moving.restore_rest(call, found, PART)
        undone = z.ZoneDataUndone(change=change, restored=len(restored), left=len(left))
        await self._moving.tell(call, z.changes_stream(call.tenant), undone)
        return Undone(call.tenant, change, restored, left)

    async def changes(self, tenant: str) -> list[z.Change]:
        """Every change of the tenant's plans, oldest first."""
        return await changes_of(self._store.scoped(tenant), z.changes_stream(tenant))

    async def page(self, tenant: str, change: UUID, place: Place, limit: int) -> ReportPage:
        """`limit` slots of one of them, from a place on. Raises `NotFound`."""
        stream = z.changes_stream(tenant)
        return await page_of(self._store.scoped(tenant), tenant, stream, change, place, limit)

    async def report(self, tenant: str, change: UUID) -> Report:
        """One of them as a whole, for who goes through all of its slots. Raises `NotFound`."""
        return await whole_of(self._store.scoped(tenant), tenant, z.changes_stream(tenant), change)
