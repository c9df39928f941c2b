"""The due index: one narrow row per waiting thing, and the changes that spare the dispatcher from polling it.

Place in the flow: the projector computes these rows and hands the changes to the dispatcher; at start, and as time goes
on, the dispatcher loads what comes due within its horizon.

`slot` rows (key: the schedule) stand for the series' next slot. `occurrence` rows (key: the occurrence) wait by
themselves: triggered, deferred, or between attempts. A held row waits for its schedule to be resumed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from uuid import UUID

from horae.domain.ids import SHARDS
from horae.domain.timing import Slot
from horae.projections.statements import statements

if TYPE_CHECKING:
    from horae.projections.schema import Connection

Row = Literal["slot", "occurrence"]

ALL_SHARDS = tuple(range(SHARDS))

_SQL = statements("due")
_LOWEST_KEY = UUID(int=0)
_ABOVE_ALL = (1 << 15) - 1


class DueRow(NamedTuple):
    """One waiting thing, with everything that its claim has to expect."""

    row: Row
    key: UUID
    shard: int
    tenant: str
    due_at: datetime
    priority: int
    schedule: UUID
    #: Head of the schedule's stream.
    schedule_version: int
    occurrence: UUID
    #: Head of the occurrence's stream; 0: nothing has happened to it yet.
    occurrence_version: int
    slot: Slot
    number: int | None
    #: The recipient's zone, if the plan used it.
    zone: str | None
    origin: Literal["slot", "trigger", "backfill"]
    held: bool


class DueChange(NamedTuple):
    """What waits under this key from now on; `due` None: nothing does."""

    row: Row
    key: UUID
    due: DueRow | None


class Queue(NamedTuple):
    """What waits for a tenant at one priority: queues of a priority take turns."""

    priority: int
    tenant: str


class Overdue(NamedTuple):
    """How the due index stands at an instant: rows not held, how many of them are due, and the earliest instant."""

    waiting: int
    overdue: int
    oldest: datetime | None


async def load_horizon(
    conn: Connection,
    shards: Collection[int] = ALL_SHARDS,
    until: datetime | None = None,
    *,
    after: tuple[datetime, UUID] | None = None,
    limit: int = 5_000,
) -> list[DueRow]:
    """At most `limit` rows of these shards that are due at or before `until` (None: all) and not held.

    Ascending by (due_at, key). Go on with `after` = the last row's (due_at, key) until fewer than `limit` come.
    """
    every_shard = len(set(shards)) == SHARDS
    after_at, after_key = after or (None, _LOWEST_KEY)
    records = await conn.fetch(
        _SQL["load_horizon"], None if every_shard else list(shards), until, after_at, after_key, limit
    )
    return [due_row(record) for record in records]


async def next_due_at(
    conn: Connection, shards: Collection[int] = ALL_SHARDS, after: datetime | None = None
) -> datetime | None:
    """The earliest due instant in these shards, later than `after` if given; None: nothing waits."""
    every_shard = len(set(shards)) == SHARDS
    found: datetime | None = await conn.fetchval(_SQL["next_due_at"], None if every_shard else list(shards), after)
    return found


async def queues(conn: Connection, at: datetime, after: Queue | None, limit: int) -> tuple[list[Queue], Queue | None]:
    """Which queues have something due at `at`: of the `limit` that come after `after`, the more pressing first.

    With them the one to go on after; None: that was the last. Costs a look into the index for each of the `limit`,
    whatever they hold.
    """
    priority, tenant = after or (_ABOVE_ALL, "")
    found = [
        (Queue(record["priority"], record["tenant"]), record["due"])
        for record in await conn.fetch(_SQL["queues"], at, priority, tenant, limit)
    ]
    return [queue for queue, is_due in found if is_due], found[-1][0] if len(found) == limit else None


async def load_queues(
    conn: Connection, after: Mapping[Queue, tuple[datetime, UUID]], at: datetime, each: int
) -> list[DueRow]:
    """Of every one of these queues the first `each` rows behind its (due_at, key) that are due at `at`.

    In whatever shard; of each queue ascending by (due_at, key).
    """
    columns = [(queue.priority, queue.tenant, *place) for queue, place in after.items()]
    return [due_row(record) for record in await conn.fetch(_SQL["load_queues"], *_arrays(columns, 4), at, each)]


async def overdue(conn: Connection, upto: datetime, limit: int = 1_000) -> list[DueRow]:
    """What of any shard is due at or before `upto` and not held, earliest first: for taking over from the dead."""
    return await load_horizon(conn, ALL_SHARDS, upto, limit=limit)


async def get_due(conn: Connection, keys: Collection[UUID]) -> list[DueRow]:
    """The rows of these keys, held or not."""
    return [due_row(record) for record in await conn.fetch(_SQL["get_due"], list(keys))]


async def claimed(conn: Connection, schedules: Collection[UUID]) -> list[tuple[UUID, UUID, Slot, bool]]:
    """Of schedules: slots' occurrences that have begun (or were deferred) and not ended, and the last that was claimed.

    Schedule, occurrence, slot, whether it is open; by schedule, latest slot first. The latest may come twice.
    """
    records = await conn.fetch(_SQL["claimed"], list(schedules))
    return [(r["schedule"], r["id"], Slot(local=r["slot"], fold=r["fold"]), r["open"]) for r in records]


async def backlog(conn: Connection, at: datetime) -> Overdue:
    """Numbers over all tenants; allowed to the API's role."""
    record = await conn.fetchrow(_SQL["backlog"], at)
    assert record is not None
    return Overdue(record["waiting"], record["overdue"], record["oldest"])


def _arrays(rows: Collection[tuple[Any, ...]], width: int) -> list[list[Any]]:
    """A list for each of `width` columns."""
    return [[row[column] for row in rows] for column in range(width)]


def due_row(record: Any) -> DueRow:
    """A stored row as a value."""
    return DueRow(
        record["row"],
        record["key"],
        record["shard"],
        record["tenant"],
        record["due_at"],
        record["priority"],
        record["schedule"],
        record["schedule_version"],
        record["occurrence"],
        record["occurrence_version"],
        Slot(local=record["slot"], fold=record["fold"]),
        record["number"],
        record["zone"],
        record["origin"],
        record["held"],
    )
