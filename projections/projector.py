"""Applies batches of events to the read models: all rows and the positions in one transaction.

Place in the flow: log -> feed -> *projector* -> PostgreSQL read models; the changes of the due index go on to the
dispatcher. A batch costs a fixed number of statements, however many events it holds: read the prior rows, fold in
Python, write what came out as arrays.

Positions: a row per shard, and one for the whole log. A shard's *effective* position is the later of its own row and
the whole log's; the *complete* position is the earliest effective one: everything up to it is applied. Whoever applies
an event moves its shard's row, from the value that he knows, in the transaction that writes the rows; so any number of
feeders of any shards and of the whole log may work at once, in any processes, and each event is applied once. Two
shards never share a row, so their feeders do not wait for each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from horae.domain.envelope import Recorded
from horae.domain.ids import slot_of
from horae.domain.undecodable import Undecodable
from horae.projections.due import DueChange
from horae.projections.fold import Fold, family
from horae.projections.habits import read_habits, write_habits
from horae.projections.statements import statements
from horae.projections.tables import columns, make_partitions, read_prior, write

if TYPE_CHECKING:
    from horae.projections.schema import Connection

PROJECTION = "core"
#: The row of a feeder that reads the whole log, beside one row per shard.
WHOLE_LOG = -1
#: Where feeds hear, by the connection that they write with, that others have changed rows aside from the log.
LOOK_CHANNEL = "horae_look"

_SQL = statements("projector")


class PositionMoved(Exception):
    """Somebody else applied events here, or a rebuild put another copy in place.

    Nothing was written: `load` the positions and go on from there.
    """


class PositionGap(Exception):
    """The batch does not begin where the whole-log position ends. Nothing was written: read the log from there."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What a batch came to, and how the due index changed."""

    #: Everything up to here is applied, as far as the feeder knows: one that feeds shards knows of its own.
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
        #: The rows as we know them: shard -> position.
        self._positions: dict[int, int] = {}
        self._whole = self._complete = 0
        #: The latest of the shards' rows: unless it is later than the whole log's, all shards are equally far.
        self._furthest = 0
        self._copy: UUID | None = None
        self._parked: set[UUID] = set()
        self._partitions: set[tuple[int, int]] = set()

    @property
    def position(self) -> int:
        """The complete position, as far as this instance knows: others may have gone on with other shards."""
        return self._complete

    @property
    def copy(self) -> UUID | None:
        """Which copy of the read models was loaded last."""
        return self._copy

    @property
    def parked(self) -> frozenset[UUID]:
        """The families that have parked events, as far as this instance knows."""
        return frozenset(self._parked)

    def at(self, shard: int) -> int:
        """The effective position of a shard, as far as this instance knows."""
        return max(self._positions.get(shard, 0), self._whole)

    async def load(self, conn: Connection) -> int:
        """Read how far these read models are; gives the complete position, behind which to read the whole log."""
        # What a crash of PostgreSQL takes back it takes back whole, positions included, and the log has it still.
        await conn.execute("SET synchronous_commit = off")
        self._positions = {row["shard"]: row["position"] for row in await conn.fetch(_SQL["positions"], PROJECTION)}
        self._copy = await conn.fetchval(_SQL["copy"])
        self._parked = {row["family"] for row in await conn.fetch(_SQL["parked_families"])}
        self._partitions.clear()
        if not self._positions:
            raise RuntimeError("the read models are not installed: call projections.schema.install first")
        self._moved({})
        return self.position

    async def apply(self, conn: Connection, batch: Sequence[Recorded]) -> Applied:
        """Apply a stretch of the log, at most about 500 events. What is applied already is skipped.

        Raises `PositionMoved` and `PositionGap`; errors of bad data (`fold.Unapplicable`, `asyncpg.DataError`, ...);
        and asyncpg's errors of a lost connection, after which `load` tells whether it was applied.
        In every case nothing was written, or all of it.
        """
        stretch = self._behind(batch)
        if not stretch:
            return Applied(self.position)
        events = stretch
        if self._furthest > self._complete:
            events = [event for event in stretch if event.position > self._positions[event.meta.shard]]
        moves = {event.meta.shard: event.position for event in events}
        moves[WHOLE_LOG] = stretch[-1].position
        return await self._commit(conn, events, moves)

    async def apply_shards(self, conn: Connection, events: Sequence[Recorded], reached: Mapping[int, int]) -> Applied:
        """Apply events of some shards, at most about 500. What is applied already is skipped.

        The caller vouches that per shard they ascend, that nothing is missing between the shard's effective position
        and its last event, and that after them the shard is complete up to `reached`, which may lie later.
        Raises as `apply` does, but for `PositionGap`.
        """
        new: list[Recorded] = []
        moves: dict[int, int] = {}
        for event in events:
            shard = event.meta.shard
            if event.position > moves.get(shard, 0) and event.position > self.at(shard):
                moves[shard] = event.position
                new.append(event)
        for shard, position in reached.items():
            if position > moves.get(shard, 0) and position > self.at(shard):
                moves[shard] = position
        if not moves:
            return Applied(self.position)
        return await self._commit(conn, new, moves)

    async def park(self, conn: Connection, event: Recorded, error: str, *, whole_log: bool = True) -> Applied:
        """Set an event aside that cannot be applied; from now on what shares its rows queues behind it.

        `whole_log`: it was fed by `apply`; otherwise by `apply_shards`, and only its shard moves on.
        """
        if event.position <= self.at(event.meta.shard):
            return await self.apply(conn, [event]) if whole_log else Applied(self.position)
        moves = {event.meta.shard: event.position}
        if whole_log:
            moves[WHOLE_LOG] = self._behind([event])[-1].position
        async with conn.transaction():
            await self._move(conn, moves)
            await _park(conn, [(event, error)])
        self._moved(moves)
        self._parked.add(family(event))
        return Applied(self.position, parked=1)

    async def replay(self, conn: Connection, family_id: UUID, events: Sequence[Recorded]) -> Applied:
        """Apply a family's parked events (all of them, in order) after all; it queues no more, and feeds hear of it.

        The other families and the positions stay as they are. Raises as `apply` does for bad data; then nothing
        was written and the family stays parked.
        """
        fold = Fold()
        async with conn.transaction():
            # Keeps every feeder of the family's shard out: it moves the shard's position first.
            shards = {event.meta.shard for event in events}
            await self._move(conn, {shard: self._positions[shard] for shard in shards}, notify=False)
            await make_partitions(conn, self._missing_partitions(events))
            changes = await _apply(conn, fold, events)
            await conn.execute(_SQL["unpark"], family_id, [event.position for event in events])
            await conn.execute(_SQL["tell_to_look"])
        self._parked.discard(family_id)
        return Applied(self.position, changes, len(events))

    async def _commit(self, conn: Connection, events: Sequence[Recorded], moves: dict[int, int]) -> Applied:
        """Apply events, all of them new, and move the positions."""
        fold = Fold()
        async with conn.transaction():
            await self._move(conn, moves)
            applicable, parked = await self._sorted(conn, events)
            partitions = self._missing_partitions(applicable)
            await make_partitions(conn, partitions)
            changes = await _apply(conn, fold, applicable)
            await _park(conn, [(event, None) for event in parked])
        self._moved(moves)
        self._partitions.update((slot.year, slot.month) for slot in partitions)
        return Applied(self.position, changes, len(applicable), len(parked))

    async def _sorted(
        self, conn: Connection, events: Sequence[Recorded]
    ) -> tuple[Sequence[Recorded], Sequence[Recorded]]:
        """Those to be applied, and those to be put behind a parked one."""
        if not self._parked:  # who parks in another process moves the shard: we should have noticed
            return events, ()
        # But a replay in another process moves nothing. It is through, or waits for us.
        self._parked = {row["family"] for row in await conn.fetch(_SQL["parked_families"])}
        parked = [event for event in events if family(event) in self._parked]
        positions = {event.position for event in parked}
        return [event for event in events if event.position not in positions], parked

    def _behind(self, batch: Sequence[Recorded]) -> list[Recorded]:
        """What lies behind the complete position, each once, by ascending position."""
        whole = self._complete
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

    def _moved(self, moves: dict[int, int]) -> None:
        self._positions.update(moves)
        self._whole = self._positions[WHOLE_LOG]
        if moves.get(WHOLE_LOG, 0) > self._furthest:
            self._complete = self._whole
        else:
            rows = [position for shard, position in self._positions.items() if shard != WHOLE_LOG]
            self._furthest = max(rows)
            self._complete = max(self._whole, min(rows))

    async def _move(self, conn: Connection, moves: dict[int, int], *, notify: bool = True) -> None:
        shards = list(moves)
        old = [self._positions[shard] for shard in shards]
        heard = payload_of(moves) if notify and self._notify else None
        count = await conn.fetchval(
            _SQL["move_positions"], PROJECTION, shards, old, list(moves.values()), heard, self._copy
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


async def _apply(conn: Connection, fold: Fold, events: Sequence[Recorded]) -> list[DueChange]:
    """Read what the events change, fold them in, write what came out."""
    await read_prior(conn, fold, events)
    await read_habits(conn, fold, events)
    for event in events:
        fold.apply(event)
    changes = await write(conn, fold)
    await write_habits(conn, fold)
    return changes


def payload_of(moves: Mapping[int, int]) -> str:
    """What `Progress` is told: the whole log's position alone, or `shard:position` of each shard that moved."""
    if WHOLE_LOG in moves:
        return str(moves[WHOLE_LOG])
    return ",".join(f"{shard}:{position}" for shard, position in moves.items())


def moves_of(payload: str) -> dict[int, int]:
    """The other way round."""
    if ":" not in payload:
        return {WHOLE_LOG: int(payload)}
    return {int(shard): int(position) for shard, _, position in (move.partition(":") for move in payload.split(","))}


async def _park(conn: Connection, events: Sequence[tuple[Recorded, str | None]]) -> None:
    if events:
        rows = [
            (family(e), e.position, e.stream, e.version, e.meta.tenant, _stored_name(e), error) for e, error in events
        ]
        await conn.execute(_SQL["park"], *columns(rows))


def _stored_name(event: Recorded) -> str:
    return event.body.stored_name if isinstance(event.body, Undecodable) else event.body.name
