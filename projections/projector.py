"""Applies batches of events to the read models: all rows and the positions in one transaction.

Place in the flow: log -> feed -> *projector* -> PostgreSQL read models; the changes of the due index go on to the
dispatcher. A batch costs a fixed number of statements, however many events it holds: read the prior rows, fold in
Python, write what came out as arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from horae.domain.envelope import Recorded
from horae.domain.ids import slot_of
from horae.projections.due import DueChange
from horae.projections.fold import Fold, family
from horae.projections.statements import statements
from horae.projections.tables import columns, make_partitions, read_prior, write

if TYPE_CHECKING:
    from horae.projections.schema import Connection

PROJECTION = "core"
#: The row of a feeder that reads the whole log, beside one row per shard.
WHOLE_LOG = -1

_SQL = statements("projector")


class PositionMoved(Exception):
    """Somebody else applied events here, or a rebuild put another copy in place.

    Nothing was written: `load` the positions and go on from there.
    """


class PositionGap(Exception):
    """The batch does not begin where the whole-log position ends. Nothing was written: read the log from there."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What a batch came to: the position up to which everything is applied, and how the due index changed."""

    position: int
    due: list[DueChange] = field(default_factory=list)
    #: How many events were folded in; duplicates and parked ones are not.
    events: int = 0
    #: How many were put behind a parked event.
    parked: int = 0
    #: True at the start of a feed: changes before this may have been missed, so load the due index again.
    reset: bool = False


class Projector:
    """Keeps one copy of the read models up to date. One instance per feeder; not for concurrent use.

    The connections given to it name the copy by their search_path.
    """

    def __init__(self, *, notify: bool = True) -> None:
        """Call `load` before the first `apply`. `notify`: tell `Progress` of each commit (not for a shadow copy)."""
        self._notify = notify
        self._positions: dict[int, int] = {}
        self._copy: UUID | None = None
        self._parked: set[UUID] = set()
        self._partitions: set[tuple[int, int]] = set()

    @property
    def position(self) -> int:
        """The position up to which the whole log is applied, as far as this instance knows."""
        return self._positions.get(WHOLE_LOG, 0)

    @property
    def parked(self) -> frozenset[UUID]:
        """The families that have parked events."""
        return frozenset(self._parked)

    async def load(self, conn: Connection) -> int:
        """Read how far these read models are; gives the whole-log position, behind which to go on."""
        # What a crash of PostgreSQL takes back it takes back whole, positions included, and the log has it still.
        await conn.execute("SET synchronous_commit = off")
        self._positions = {row["shard"]: row["position"] for row in await conn.fetch(_SQL["positions"], PROJECTION)}
        self._copy = await conn.fetchval(_SQL["copy"])
        self._parked = {row["family"] for row in await conn.fetch(_SQL["parked_families"])}
        self._partitions.clear()
        if not self._positions:
            raise RuntimeError("the read models are not installed: call projections.schema.install first")
        return self.position

    async def apply(self, conn: Connection, batch: Sequence[Recorded]) -> Applied:
        """Apply a stretch of the log, at most about 500 events. What is applied already is skipped.

        Raises `PositionMoved` and `PositionGap`; errors of bad data (`fold.Unapplicable`, `asyncpg.DataError`, ...);
        and asyncpg's errors of a lost connection, after which `load` tells whether it was applied.
        In every case nothing was written, or all of it.
        """
        events = self._new(batch)
        if not events:
            return Applied(self.position)
        parked = [event for event in events if family(event) in self._parked] if self._parked else []
        if parked:
            positions = {event.position for event in parked}
            applicable = [event for event in events if event.position not in positions]
        else:
            applicable = events
        fold = Fold()
        moved = self._moves(events)
        partitions = self._missing_partitions(applicable)
        async with conn.transaction():
            await self._move(conn, moved)
            await make_partitions(conn, partitions)
            await read_prior(conn, fold, applicable)
            for event in applicable:
                fold.apply(event)
            changes = await write(conn, fold)
            await _park(conn, [(event, None) for event in parked])
        self._positions.update(moved)
        self._partitions.update((slot.year, slot.month) for slot in partitions)
        return Applied(self.position, changes, len(applicable), len(parked))

    async def park(self, conn: Connection, event: Recorded, error: str) -> Applied:
        """Set an event aside that cannot be applied; from now on what shares its rows queues behind it."""
        events = self._new([event])
        if not events:
            return Applied(self.position)
        moved = self._moves(events)
        async with conn.transaction():
            await self._move(conn, moved)
            await _park(conn, [(event, error)])
        self._positions.update(moved)
        self._parked.add(family(event))
        return Applied(self.position, parked=1)

    async def replay(self, conn: Connection, family_id: UUID, events: Sequence[Recorded]) -> Applied:
        """Apply a family's parked events (all of them, in order) after all; it queues no more.

        The other families and the positions stay as they are. Raises as `apply` does for bad data; then nothing
        was written and the family stays parked.
        """
        fold = Fold()
        async with conn.transaction():
            # Keeps the feeder out: it moves the positions first.
            await self._move(conn, {WHOLE_LOG: self.position}, notify=False)
            await make_partitions(conn, self._missing_partitions(events))
            await read_prior(conn, fold, events)
            for event in events:
                fold.apply(event)
            changes = await write(conn, fold)
            await conn.execute(_SQL["unpark"], family_id, [event.position for event in events])
        self._parked.discard(family_id)
        return Applied(self.position, changes, len(events))

    def _new(self, batch: Sequence[Recorded]) -> list[Recorded]:
        """The events that are not applied yet, each once, by ascending position."""
        whole = self.position
        events = [event for event in batch if event.position > whole]
        expected = whole + 1
        kept = []
        for event in events:
            if event.position < expected:
                continue  # delivered twice within the batch
            if event.position > expected:
                raise PositionGap(f"the log goes on at position {expected}, the batch at {event.position}")
            kept.append(event)
            expected += 1
        return kept

    def _moves(self, events: Sequence[Recorded]) -> dict[int, int]:
        moved = {event.meta.shard: event.position for event in events}
        moved[WHOLE_LOG] = events[-1].position
        return moved

    async def _move(self, conn: Connection, moved: dict[int, int], *, notify: bool = True) -> None:
        shards = list(moved)
        old = [self._positions[shard] for shard in shards]
        heard = str(moved[WHOLE_LOG]) if notify and self._notify else None
        count = await conn.fetchval(
            _SQL["move_positions"], PROJECTION, shards, old, list(moved.values()), heard, self._copy
        )
        if count != len(shards):
            raise PositionMoved

    def _missing_partitions(self, events: Sequence[Recorded]) -> set[datetime]:
        months = {}
        for event in events:
            occurrence_id = getattr(event.body, "occurrence", None)
            if getattr(event.body, "schedule", None) is not None:
                occurrence_id = event.stream
            if occurrence_id is not None:
                slot = slot_of(occurrence_id)
                if (slot.year, slot.month) not in self._partitions:
                    months[slot.year, slot.month] = slot
        return set(months.values())


async def _park(conn: Connection, events: Sequence[tuple[Recorded, str | None]]) -> None:
    if events:
        rows = [(family(e), e.position, e.stream, e.version, e.meta.tenant, e.body.name, error) for e, error in events]
        await conn.execute(_SQL["park"], *columns(rows))
