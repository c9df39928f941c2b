"""Builds the read models anew from the log, beside the live ones, and puts them in their place.

Place in the flow: `horae rebuild`. The same handlers run from position 0 into a shadow schema; at the end feeders are
held for a moment, both copies are compared with every shard at one position, and their names are exchanged in one
transaction. Readers and feeders notice nothing but that moment; a crash at any time leaves the live copy or the new
one, whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from horae.domain import codec
from horae.domain.envelope import Recorded
from horae.projections import schema
from horae.projections.projector import LOOK_CHANNEL, Projector
from horae.streams.parking import apply_or_park

if TYPE_CHECKING:
    from horae.projections.schema import Connection

log = structlog.get_logger(__name__)

SHADOW = "read_new"
OLD = "read_old"
#: Larger than the feeder's: nobody waits for a single event here.
_BATCH = 2_000
#: One rebuild at a time, per database.
_REBUILD_LOCK = 7235418830166532

_COMPLETE = """
SELECT greatest(max(position) FILTER (WHERE shard = -1), min(position) FILTER (WHERE shard >= 0))
FROM positions WHERE projection = 'core'
"""
#: How far each shard is, by whatever feeder: rows of their own, so that two copies can be compared by it.
_EFFECTIVE = """
SELECT p.shard, greatest(p.position, w.position) AS position
FROM "{0}".positions AS p JOIN "{0}".positions AS w ON w.projection = p.projection AND w.shard = -1
WHERE p.projection = 'core' AND p.shard >= 0
"""
_BETWEEN = "SELECT * FROM log.after(NULL, $1, $2)"

OnProgress = Callable[[int, int], None]
"""Told the position that is rebuilt, and the log's head."""


class RebuildRunning(Exception):
    """Another rebuild of this database is under way: wait for it."""


@dataclass(frozen=True, slots=True)
class TableReport:
    """One table of both copies at the same position: rows, and a checksum over all columns, of each copy."""

    table: str
    rows: int
    checksum: int
    #: Of the live copy; None: it cannot be compared.
    live_rows: int | None = None
    live_checksum: int | None = None

    @property
    def same(self) -> bool | None:
        """Whether both copies hold the same; None: there is nothing to compare with."""
        return None if self.live_rows is None else (self.rows, self.checksum) == (self.live_rows, self.live_checksum)


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """What a rebuild came to; the new copy is in place whatever it says."""

    position: int
    #: How many events were folded in.
    events: int
    #: How many could not be applied, or queue behind one that could not.
    parked: int
    tables: tuple[TableReport, ...]

    @property
    def differing(self) -> tuple[str, ...]:
        """Tables whose live copy was not what the log says; the rebuild has mended them."""
        return tuple(table.table for table in self.tables if table.same is False)


async def rebuild(dsn: str, on_progress: OnProgress | None = None) -> RebuildReport:
    """Build the read models anew and swap them in. `dsn` names the owner's role.

    Works while the service runs, and when it stands still. Raises `RebuildRunning`, asyncpg's errors, and
    `codec.UnknownEvent` for a log that a newer version wrote; then the live copy is as it was.
    """
    conn = await schema.connect(dsn)
    shadow = await schema.connect(dsn, SHADOW)
    try:
        if not await conn.fetchval("SELECT pg_try_advisory_lock($1)", _REBUILD_LOCK):
            raise RebuildRunning("another rebuild of this database is under way: wait for it")
        comparable = await schema.install(conn) is not schema.Installed.OUTDATED
        await conn.execute(f"DROP SCHEMA IF EXISTS {SHADOW} CASCADE")
        await conn.execute(f"DROP SCHEMA IF EXISTS {OLD} CASCADE")
        await schema.install(shadow, SHADOW)
        report = await _fill_and_swap(conn, shadow, on_progress, comparable=comparable)
        await conn.execute(f"DROP SCHEMA {OLD} CASCADE")
    finally:
        await shadow.close()
        await conn.close()
    for table in report.differing:
        log.error("rebuild_difference", table=table, position=report.position)
    return report


async def _fill_and_swap(
    conn: Connection, shadow: Connection, on_progress: OnProgress | None, *, comparable: bool
) -> RebuildReport:
    filling = _Filling(shadow, on_progress)
    await filling.start()
    await filling.up_to(await conn.fetchval("SELECT log.head()" if not comparable else _COMPLETE) or 0)
    async with conn.transaction():
        await conn.execute("SET LOCAL idle_in_transaction_session_timeout = 0")  # the shadow's connection works
        # Feeders' transactions begin by writing here: whoever is in one finishes, the next one waits for us.
        # Readers are not held up.
        await conn.execute("LOCK TABLE positions IN SHARE ROW EXCLUSIVE MODE")
        if comparable:
            await filling.up_to(await conn.fetchval(_COMPLETE))
            await filling.shards_up_to(await _positions(conn))
        tables = await _compare(conn, comparable=comparable)
        # A feeder may have stood still for long: it finds its position moved, and goes on from the new one.
        await filling.up_to(await conn.fetchval("SELECT log.head()"))
        await conn.execute(f"ALTER SCHEMA {schema.SCHEMA} RENAME TO {OLD}")
        await conn.execute(f"ALTER SCHEMA {SHADOW} RENAME TO {schema.SCHEMA}")
        await conn.execute("SELECT pg_notify('horae_applied', $1::text)", str(filling.position))
        await conn.execute("SELECT pg_notify($1, '')", LOOK_CHANNEL)
    return RebuildReport(filling.position, filling.events, filling.parked, tuple(tables))


async def _positions(conn: Connection) -> dict[int, int]:
    return {row["shard"]: row["position"] for row in await conn.fetch(_EFFECTIVE.format(schema.SCHEMA))}


class _Filling:
    """The shadow copy on its way through the log."""

    def __init__(self, conn: Connection, on_progress: OnProgress | None) -> None:
        self._conn = conn
        self._on_progress = on_progress
        self._projector = Projector(notify=False)
        self.events = 0
        self.parked = 0

    @property
    def position(self) -> int:
        return self._projector.position

    async def start(self) -> None:
        await self._projector.load(self._conn)

    async def up_to(self, head: int) -> None:
        """Apply the log up to `head`, and nothing behind it."""
        while self.position < head:
            batch = await self._read(min(_BATCH, head - self.position))
            async for applied in apply_or_park(self._projector, self._conn, batch):
                self.events += applied.events
                self.parked += applied.parked
            if self._on_progress is not None:
                self._on_progress(self.position, head)

    async def shards_up_to(self, reached: dict[int, int]) -> None:
        """Apply of each shard what lies behind our position, up to its own; nothing more."""
        after, upto = self.position, max(reached.values())
        while after < upto:
            batch = await self._read(min(_BATCH, upto - after), after)
            after = batch[-1].position
            mine = [event for event in batch if event.position <= reached[event.meta.shard]]
            here = {shard: min(position, after) for shard, position in reached.items()}
            async for applied in apply_or_park(self._projector, self._conn, mine, here):
                self.events += applied.events
                self.parked += applied.parked

    async def _read(self, count: int, after: int | None = None) -> list[Recorded]:
        rows = await self._conn.fetch(_BETWEEN, self.position if after is None else after, count)
        return [codec.load(r["topic"], r["state"], r["stream"], r["version"], r["position"]) for r in rows]


async def _compare(conn: Connection, *, comparable: bool) -> list[TableReport]:
    rebuilt = await checksums(conn, SHADOW)
    live = await checksums(conn, schema.SCHEMA) if comparable else {}
    return [
        TableReport(table, rows, checksum, *live.get(table, (None, None)))
        for table, (rows, checksum) in sorted(rebuilt.items())
    ]


async def checksums(conn: Connection, schema_name: str = schema.SCHEMA) -> dict[str, tuple[int, int]]:
    """Of every table of a copy: how many rows, and a checksum over all columns that no order of rows changes.

    Copies that have applied the same are the same, however they were fed; of the positions only how far each shard is.
    """
    names = await conn.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = $1::regnamespace AND relkind IN ('r', 'p') "
        "AND NOT relispartition AND relname <> 'built_by' ORDER BY relname",
        schema_name,
    )
    sums = {}
    for (name,) in names:
        rows = f"({_EFFECTIVE.format(schema_name)})" if name == "positions" else f'"{schema_name}"."{name}"'
        record = await conn.fetchrow(
            f"SELECT count(*) AS rows, coalesce(sum(hashtextextended(t::text, 0)), 0)::numeric::text AS checksum "
            f"FROM {rows} AS t"
        )
        assert record is not None
        sums[name] = (record["rows"], int(record["checksum"]))
    return sums
