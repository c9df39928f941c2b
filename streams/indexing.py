"""Keeps a search engine's documents up to date with the read models, however long the engine was away.

Place in the flow: relay -> Kafka -> agent -> *indexer* -> documents -> engine. A record only says that something was
touched: the document is made of the rows as they are now (once the read models have applied the event), with their
position as its version. So duplicates and disorder harm nothing, and what a record did not tell is read from the log.

A batch that cannot be indexed at once (a gap before it, the engine away) is let go: its shards are noted, and `run`
brings them up to date from the event store as soon as that is possible. So no batch is ever held on the road, and
nothing waits for search.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

import asyncpg
import structlog

from horae.domain.envelope import Recorded
from horae.domain.errors import Unavailable
from horae.projections.away import DATABASE_AWAY
from horae.projections.due import ALL_SHARDS
from horae.projections.search import positions, sources
from horae.projections.search.documents import Document
from horae.projections.search.positions import PositionMoved
from horae.streams.arrivals import Arrival
from horae.streams.messages import Mark, Record, Unreadable
from horae.streams.touched import touched_by

if TYPE_CHECKING:
    from horae.projections.schema import Connection

log = structlog.get_logger(__name__)

#: Occurrences of changed schedules that are indexed anew at once.
_PORTION = 500


class IndexedLog(Protocol):
    """What the indexer needs of the event store."""

    async def shard_events(self, shards: Collection[int], after: int, upto: int, limit: int = 500) -> list[Recorded]:
        """At most `limit` events of these shards later than `after`, up to `upto`, by ascending position."""
        ...

    async def head(self) -> int:
        """The position of the last event of the whole log."""
        ...


class Engine(Protocol):
    """What the indexer needs of the engine; both methods raise `Unavailable`."""

    @property
    def answered(self) -> int:
        """How many requests with documents it has answered: a `put` may need many."""
        ...

    async def put(self, documents: Sequence[Document]) -> None:
        """See `DocumentStore.put`."""
        ...

    async def prepare(self) -> bool:
        """Make what documents go into; where it was missing or is of other code, fill it from the read models.

        True: it was filled, so that everything applied when this began is in it.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexerConfig:
    """Times in seconds."""

    #: Events that are looked at together.
    batch: int = 500
    #: Without a mark for so long the store is asked how far the log is.
    silence_s: float = 5.0
    look_every_s: float = 1.0
    #: After a failure, and at most.
    first_wait_s: float = 0.2
    longest_wait_s: float = 10.0
    #: So long a batch that came by Kafka waits for one that is being read from the store.
    turn_s: float = 2.0
    #: How often it is looked whether the read models have come so far.
    applied_every_s: float = 0.02


@dataclass(slots=True)
class IndexerCounts:
    """Since the indexer was made."""

    events: int = 0
    documents: int = 0
    duplicates: int = 0
    #: Batches that were let go, to be read from the store.
    let_go: int = 0
    #: Failed attempts.
    failures: int = 0
    #: How often everything was filled anew from the read models.
    filled: int = 0


class Indexer:
    """One per process. `pool` is of the owner's role; `monotonic` gives seconds."""

    def __init__(
        self,
        config: IndexerConfig,
        store: IndexedLog,
        pool: asyncpg.Pool[asyncpg.Record],
        engine: Engine,
        monotonic: Callable[[], float],
    ) -> None:
        self._config, self._store, self._pool = config, store, pool
        self.engine, self._monotonic = engine, monotonic
        #: Positions as stored, and as they are: idle shards move on in memory alone, until there is something to store.
        self._stored: dict[int, int] | None = None
        self._at: dict[int, int] = {}
        #: Shard -> position that it is known to have.
        self._wanted: dict[int, int] = {}
        #: Shard -> its last event and the log's head, by the last mark that named it.
        self._marked: dict[int, tuple[int, int]] = {}
        self._prepared = False
        self._failing = False
        #: The last attempt failed because the engine or the database is away.
        self._away = False
        #: The engine is being prepared, which may mean that it is filled with everything there is.
        self._preparing = False
        self._last_mark = monotonic()
        self._busy = asyncio.Lock()
        self._look = asyncio.Event()
        self._moved = asyncio.Event()
        self.counts = IndexerCounts()

    @property
    def position(self) -> int:
        """Everything up to here is in the documents, as far as this indexer knows."""
        return min(self._at.values(), default=0)

    @property
    def failing(self) -> bool:
        """Whether the last attempt failed: the engine or the database is away."""
        return self._failing

    @property
    def excused(self) -> bool:
        """Whether it may stand still: what it needs is away, or everything is being filled anew."""
        return self._away or self._preparing

    async def reached(self, position: int) -> None:
        """Return when everything up to there is in the documents, and the last attempt went well."""
        while self.position < position or self._failing:
            self._moved.clear()
            await self._moved.wait()

    async def take(self, arrivals: Sequence[Arrival]) -> None:
        """A batch has come by Kafka; see `arrivals.Take`. Never raises, and never waits for an engine that is away."""
        await self.take_records([arrival.record() for arrival in arrivals])

    async def take_records(self, records: Sequence[Record | Unreadable]) -> None:
        """The same, with records."""
        readable = [record for record in records if not isinstance(record, Unreadable)]
        if any(isinstance(record, Mark) for record in readable):
            self._last_mark = self._monotonic()
        if self._failing or not self._prepared or not await self._turn():
            self._note(readable)
            self._let_go()
            return
        try:
            self._note(readable)
            await self._attempt(lambda: self._take(readable))
        finally:
            self._busy.release()

    def _note(self, records: Sequence[Record]) -> None:
        """Learn how far the log is; not before the records' turn, or they would be read from the store first."""
        for record in records:
            for shard, position in _names(record).items():
                self._wanted[shard] = max(position, self._wanted.get(shard, 0))
                if isinstance(record, Mark):
                    self._marked[shard] = (position, record.head)

    async def _turn(self) -> bool:
        """Have `_busy` within `turn_s`; False: it lasts longer.

        To let a batch go because another one is being read from the store would bring about the next such reading:
        under load the indexer would never again go by the records, and read from the store in small portions for ever.
        """
        try:
            async with asyncio.timeout(self._config.turn_s):
                return await self._busy.acquire()
        except TimeoutError:
            return False

    async def run(self) -> None:
        """Bring up to date what no record told in order, until cancelled."""
        wait_s = self._config.look_every_s
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._look.wait()
            self._look.clear()
            before = self._failing
            if await self.run_once():
                wait_s = self._config.look_every_s
            else:
                # Not woken by each batch that is let go meanwhile.
                wait_s = min(2 * wait_s, self._config.longest_wait_s) if before else self._config.first_wait_s
                await asyncio.sleep(wait_s)

    async def run_once(self) -> bool:
        """Look once; False if it did not go well."""
        async with self._busy:
            return await self._attempt(self._catch_up)

    async def _attempt(self, work: Callable[[], Awaitable[None]]) -> bool:
        try:
            await work()
        except PositionMoved:
            self._stored = None
            self._look.set()
        except (*DATABASE_AWAY, Unavailable) as error:
            self._failed(error, away=True)
            return False
        except Exception as error:
            # A fault in the code: it would hit every attempt alike. What it is stands in the log; the watchdog sees
            # that we stand still (`infra/indexing.py`).
            log.exception("indexer_failed", position=self.position)
            self._failed(error, away=False)
            return False
        if self._failing:
            log.info("indexer_recovered", position=self.position)
        self._failing = self._away = False
        self._moved.set()
        return True

    def _failed(self, error: Exception, *, away: bool) -> None:
        if not self._failing:
            log.warning("indexer_interrupted", position=self.position, error=str(error))
        self.counts.failures += 1
        self._failing, self._prepared, self._stored = True, False, None
        self._away = away
        self._look.set()

    def _let_go(self) -> None:
        self.counts.let_go += 1
        self._look.set()

    async def _take(self, records: Sequence[Record]) -> None:
        await self._ready()
        reached: dict[int, int] = {}
        events: list[Recorded] = []
        for record in records:
            if isinstance(record, Mark) or record.shard not in self._at:
                continue
            ours = reached.get(record.shard, self._at[record.shard])
            if record.position <= ours:
                self.counts.duplicates += 1
                continue
            event = _decoded(record) if record.previous <= ours else None
            if event is not None:
                events.append(event)
                reached[record.shard] = event.position
        await self._index(events, reached)
        self._heed_marks()
        if any(position > self._at[shard] for shard, position in self._wanted.items()):
            self._let_go()

    async def _catch_up(self) -> None:
        await self._ready()
        await self._look_where_all_are()
        if self._monotonic() - self._last_mark > self._config.silence_s:
            head = await self._store.head()
            self._wanted = {shard: max(head, self._wanted.get(shard, 0)) for shard in ALL_SHARDS}
        behind = {shard: upto for shard, upto in self._wanted.items() if upto > self._at[shard]}
        if behind:
            after, upto = min(self._at[shard] for shard in behind), max(behind.values())
            while after < upto:
                page = await self._store.shard_events(behind.keys(), after, upto, self._config.batch)
                after = page[-1].position if len(page) == self._config.batch else upto
                new = [event for event in page if event.position > self._at[event.meta.shard]]
                await self._index(new, {shard: max(after, self._at[shard]) for shard in behind})
        self._heed_marks()
        await self._store_positions()

    def _heed_marks(self) -> None:
        """A shard that has the last event that a mark names is as far as the log was then."""
        for shard, (last, head) in self._marked.items():
            if last <= self._at[shard] < head:
                self._at[shard] = head

    async def _ready(self) -> None:
        """The engine prepared, and positions as they stand."""
        if not self._prepared:
            self._preparing = True
            try:
                await self._prepare()
            finally:
                self._preparing = False
        if self._stored is None:
            await self._load()

    async def _prepare(self) -> None:
        head = await self._store.head()
        async with self._pool.acquire() as conn:
            await self._until_applied(conn, dict.fromkeys(ALL_SHARDS, head))
        if await self.engine.prepare():
            self.counts.filled += 1
            await self._load()
            self._at = {shard: max(head, at) for shard, at in self._at.items()}
            await self._store_positions()
        self._prepared = True

    async def _load(self) -> None:
        async with self._pool.acquire() as conn:
            self._stored = await positions.load(conn)
        self._at = dict(self._stored)

    async def _look_where_all_are(self) -> None:
        """Other indexers may be further; and somebody may have set a shard back, to be indexed again."""
        known = self._stored
        async with self._pool.acquire() as conn:
            self._stored = found = await positions.load(conn)
        for shard, position in found.items():
            if known is not None and position < known[shard]:
                self._wanted[shard] = max(self._at[shard], self._wanted.get(shard, 0))
                self._at[shard] = position
            else:
                self._at[shard] = max(position, self._at[shard])

    async def _index(self, events: Sequence[Recorded], reached: Mapping[int, int]) -> None:
        """Index what these events touched; then the shards are there."""
        if events:
            found = touched_by(events)
            needed: dict[int, int] = {}
            for event in events:
                needed[event.meta.shard] = max(event.position, needed.get(event.meta.shard, 0))
            async with self._pool.acquire() as conn:
                await self._until_applied(conn, needed)
                documents = sources.audit_documents(events)
                documents += await sources.schedule_documents(conn, found.schedules)
                documents += await sources.occurrence_documents(conn, found.occurrences)
                await self._put(documents)
                await self._index_occurrences_of(conn, found.changed)
            self.counts.events += len(events)
        self._at.update(reached)
        if events:
            await self._store_positions()

    async def _index_occurrences_of(self, conn: Connection, schedules: set[UUID]) -> None:
        after: UUID | None = None
        while schedules:
            ids = await sources.occurrences_of(conn, schedules, after, _PORTION)
            await self._put(await sources.occurrence_documents(conn, ids))
            if len(ids) < _PORTION:
                return
            after = ids[-1]

    async def _put(self, documents: list[Document]) -> None:
        if documents:
            await self.engine.put(documents)
            self.counts.documents += len(documents)

    async def _until_applied(self, conn: Connection, needed: Mapping[int, int]) -> None:
        while True:
            applied = await positions.applied(conn)
            if all(applied.get(shard, 0) >= position for shard, position in needed.items()):
                return
            await asyncio.sleep(self._config.applied_every_s)

    async def _store_positions(self) -> None:
        stored = self._stored
        assert stored is not None
        moves = {shard: (stored[shard], at) for shard, at in self._at.items() if at > stored[shard]}
        if moves:
            async with self._pool.acquire() as conn:
                await positions.move(conn, moves)
            self._stored = dict(self._at)


def _names(record: Record) -> Mapping[int, int]:
    """Shard -> a position of an event that the record says there is."""
    found = record.last if isinstance(record, Mark) else {record.shard: record.position}
    return {shard: position for shard, position in found.items() if shard in ALL_SHARDS}


def _decoded(record: Record) -> Recorded | None:
    """The event; None: what came is damaged, or newer than we are, so the store's own word is asked for."""
    assert not isinstance(record, Mark)
    try:
        return record.recorded()
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        log.warning("record_undecodable", position=record.position, event_name=record.event, error=str(error))
        return None
