"""The event store that commands stand on: appends through the group-commit writer, reads through a pool.

Place in the flow: implements `commands.ports.EventStore`. The worker opens it with the owner's DSN, the API with the
API role's, which sees nothing outside `scoped(tenant)`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import groupby, takewhile
from operator import attrgetter
from typing import Self, TypeVar
from uuid import UUID

import asyncpg
from prometheus_client import CollectorRegistry

from horae.commands import tracing
from horae.commands.ports import NOTHING_EXPECTED, EventReader, Lane
from horae.domain import codec
from horae.domain.envelope import NewEvent, Recorded
from horae.domain.errors import Unavailable
from horae.domain.undecodable import load_or_stand_in
from horae.infra.eventstore.batch import MAX_EVENTS_PER_COMMIT, make_append
from horae.infra.eventstore.figures import CommitFigures
from horae.infra.eventstore.gathering import Gathering
from horae.infra.eventstore.lanes import Lanes
from horae.infra.eventstore.own import OwnEvents
from horae.infra.eventstore.raw import RawSubscription
from horae.infra.eventstore.subscription import Subscription
from horae.infra.eventstore.writer import Writer
from horae.projections.away import NO_SERVER

T = TypeVar("T")

_SHARD_EVENTS = """
SELECT originator_id, originator_version, notification_id, topic, state, tenant, shard FROM log.events
WHERE notification_id > $2 AND notification_id <= $3 AND shard = ANY ($1::smallint[])
ORDER BY notification_id LIMIT $4
"""

#: Tenants that are remembered to have read; those at rest are forgotten then.
_TENANTS = 1_000

_FIRST_WAIT_S = 0.02
_LONGEST_WAIT_S = 0.5

#: What asyncpg raises when the server is away, starting, stopping or restarting after a crash, or has ended a statement
#: because it took too long there, or because somebody asked for it.
_INTERRUPTED = (OSError, asyncpg.QueryCanceledError, *NO_SERVER)


class PostgresEventStore:
    """Use as `async with PostgresEventStore(dsn) as store`.

    `queue_events` bounds each lane of the writer's queue. While PostgreSQL is away, reads and writes are tried again
    for `patience_s`, then end with `Unavailable`.
    """

    def __init__(
        self,
        dsn: str,
        *,
        readers: int = 4,
        queue_events: int = 10_000,
        max_events_per_commit: int = MAX_EVENTS_PER_COMMIT,
        patience_s: float = 20.0,
        registry: CollectorRegistry | None = None,
    ) -> None:
        """`registry`: where the writer's figures go; None: nobody asks for them."""
        self._dsn = dsn
        self._lanes = Lanes(queue_events=queue_events, max_events_per_commit=max_events_per_commit)
        figures = CommitFigures(registry, lambda: self._lanes.waiting_events) if registry is not None else None
        self._writer = Writer(dsn, self._lanes, patience_s=patience_s, figures=figures)
        self._reads = _Reads(dsn, readers, patience_s)
        self._all = _Reader(self._reads, None)
        self._gatherings: dict[str, Gathering[list[Recorded]]] = {}
        #: For our own subscription; None while there is none.
        self._own: OwnEvents | None = None

    async def open(self) -> None:
        """Start the writer and connect the readers. Raises `Unavailable` when PostgreSQL does not answer in time."""
        await self._reads.open()
        self._writer.start()

    async def close(self) -> None:
        """Write what is queued, then let go of every connection."""
        await asyncio.to_thread(self._writer.close)
        await self._reads.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def append(
        self,
        events: Sequence[NewEvent],
        expects: Mapping[UUID, int] = NOTHING_EXPECTED,
        *,
        lane: Lane = "fast",
    ) -> int:
        """See `commands.ports.EventStore.append`. A cancelled caller's command may be stored nevertheless."""
        with tracing.span("log.append") as under_way:
            position = await self._writer.append(make_append(events, expects), lane)
            if self._own is not None:
                self._own.stored(events, position)
            if under_way.recording:
                under_way.describe({"horae.position": position, "horae.events": len(events), "horae.lane": lane})
            return position

    async def load(
        self,
        stream: UUID,
        *,
        after_version: int = 0,
        upto_version: int | None = None,
        until: datetime | None = None,
        upto_position: int | None = None,
    ) -> list[Recorded]:
        """See `commands.ports.EventReader.load`; every tenant's streams, for the owner's role."""
        return await self._all.load(
            stream, after_version=after_version, upto_version=upto_version, until=until, upto_position=upto_position
        )

    async def load_many(self, streams: Collection[UUID]) -> dict[UUID, list[Recorded]]:
        """See `commands.ports.EventReader.load_many`; every tenant's streams, for the owner's role."""
        return await self._all.load_many(streams)

    async def after(self, position: int, limit: int = 500) -> list[Recorded]:
        """See `commands.ports.EventReader.after`; every tenant's events, for the owner's role."""
        return await self._all.after(position, limit)

    async def version(self, stream: UUID) -> int:
        """See `commands.ports.EventReader.version`; every tenant's streams, for the owner's role."""
        return await self._all.version(stream)

    async def shard_events(self, shards: Collection[int], after: int, upto: int, limit: int = 500) -> list[Recorded]:
        """At most `limit` events of these shards later than `after`, up to `upto`, by ascending position.

        What cannot be decoded comes as `undecodable.Undecodable`. Every tenant's events, for the owner's role.
        Walks through the log between the two positions: meant for short ranges, or for most of the shards.
        """
        rows = await self._reads.fetch(_SHARD_EVENTS, list(shards), after, upto, limit)
        return [
            load_or_stand_in(topic, state, stream, version, position, tenant=tenant, shard=shard)
            for stream, version, position, topic, state, tenant, shard in rows
        ]

    async def head(self) -> int:
        """The position of the last event of the whole log, 0 when it is empty; any role may ask."""
        (row,) = await self._reads.fetch("SELECT log.head()")
        return int(row[0])

    def scoped(self, tenant: str) -> EventReader:
        """A reader that sees only `tenant`'s events, held by row-level security besides the query's own condition."""
        gathering = self._gatherings.get(tenant)
        if gathering is None:
            if len(self._gatherings) >= _TENANTS:
                self._gatherings = {name: each for name, each in self._gatherings.items() if not each.idle}
            gathering = self._gatherings[tenant] = Gathering(_Reader(self._reads, tenant).load_many)
        return _Reader(self._reads, tenant, gathering)

    def subscribe(self, after: int = 0) -> Subscription:
        """Every event later than position `after`, in order, as it is stored; for the owner's role."""
        self._own = OwnEvents()
        return Subscription(self._dsn, after, self._own.take)

    def subscribe_raw(self, after: int = 0, batch: int = MAX_EVENTS_PER_COMMIT) -> RawSubscription:
        """The same as rows that nobody has decoded, read only when asked for; for the owner's role."""
        return RawSubscription(self._dsn, after, batch)

    @property
    def waiting_events(self) -> dict[Lane, int]:
        """How many events wait in each lane of the writer's queue."""
        return self._lanes.waiting_events


class _Reader:
    """`EventReader` for one tenant, or for all (None: only the owner's role sees anything)."""

    def __init__(self, reads: "_Reads", tenant: str | None, gathering: Gathering[list[Recorded]] | None = None) -> None:
        """`gathering`: what reads for others of the tenant at the same time."""
        self._reads = reads
        self._tenant = tenant
        self._gathering = gathering

    async def load(
        self,
        stream: UUID,
        *,
        after_version: int = 0,
        upto_version: int | None = None,
        until: datetime | None = None,
        upto_position: int | None = None,
    ) -> list[Recorded]:
        if after_version > 0:
            query = "SELECT * FROM log.load_behind($1, $2, $3, $4, $5)"
            rows = await self._reads.fetch(query, self._tenant, stream, after_version, upto_version, upto_position)
        else:
            query = "SELECT * FROM log.load($1, $2, $3, $4)"
            rows = await self._reads.fetch(query, self._tenant, [stream], upto_version, upto_position)
        events = _decode(rows)
        if until is None:
            return list(events)
        return list(takewhile(lambda event: event.meta.recorded_at <= until, events))

    async def load_many(self, streams: Collection[UUID]) -> dict[UUID, list[Recorded]]:
        if self._gathering is not None:
            return await self._gathering.read(streams)
        query = "SELECT * FROM log.load($1, $2, NULL, NULL)"
        events = _decode(await self._reads.fetch(query, self._tenant, list(streams)))
        return {stream: list(history) for stream, history in groupby(events, key=attrgetter("stream"))}

    async def after(self, position: int, limit: int = 500) -> list[Recorded]:
        query = "SELECT * FROM log.after($1, $2, $3)"
        return list(_decode(await self._reads.fetch(query, self._tenant, position, limit)))

    async def version(self, stream: UUID) -> int:
        (row,) = await self._reads.fetch("SELECT log.version($1, $2)", self._tenant, stream)
        return int(row[0])


class _Reads:
    """A pool of reading connections; reads change nothing, so they are simply tried again."""

    def __init__(self, dsn: str, connections: int, patience_s: float) -> None:
        self._dsn = dsn
        self._connections = connections
        self._patience_s = patience_s
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    async def open(self) -> None:
        async def connect() -> None:
            self._pool = await asyncpg.create_pool(
                self._dsn,
                min_size=1,
                max_size=self._connections,
                command_timeout=self._patience_s,
                reset=_leave_as_it_is,
                server_settings={"application_name": "horae-reader"},
            )

        await self._until_it_answers(connect)

    async def close(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    async def fetch(self, query: str, *args: object) -> list[asyncpg.Record]:
        async def read() -> list[asyncpg.Record]:
            if self._pool is None:
                raise Unavailable("the event store is closed", hint="Open it first, or ask another process.")
            return await self._pool.fetch(query, *args)

        return await self._until_it_answers(read)

    async def _until_it_answers(self, attempt: Callable[[], Awaitable[T]]) -> T:
        started = asyncio.get_running_loop().time()
        wait_s = _FIRST_WAIT_S
        while True:
            try:
                return await attempt()
            except _INTERRUPTED as error:
                if isinstance(error, asyncpg.DataError):  # an argument that does not fit, not an interruption
                    raise
                if asyncio.get_running_loop().time() - started > self._patience_s:
                    raise Unavailable(f"the event log does not answer ({error})", hint="Try again later.") from error
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)


async def _leave_as_it_is(_: object) -> None:
    """Nothing to reset between reads: none of our statements changes the session."""


def _decode(rows: Iterable[asyncpg.Record]) -> Iterable[Recorded]:
    return (codec.load(topic, state, stream, version, position) for stream, version, position, topic, state in rows)
