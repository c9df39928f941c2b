"""Feeds the read models from records on `horae-log`: whatever a consumer hands over, the rows end as the log says.

Place in the flow: relay -> Kafka -> agent -> *shard feed* -> projector -> `on_applied`. Records come in any order of
shards, twice, or not at all. What is applied already is skipped; what is missing (an event's `previous`, or a mark's
`last`, is later than our position) is read from the event store. So Kafka need not be trusted with anything: it tells
soon that there is something to do.

Any number of these, and whole-log feeds, may work on the same read models at once, in any processes. Whoever finds that
another has moved a shard looks where it stands and goes on from there.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

import structlog

from horae.domain.envelope import Recorded
from horae.domain.errors import Unavailable
from horae.projections.away import DATABASE_AWAY
from horae.projections.due import ALL_SHARDS
from horae.projections.projector import LOOK_CHANNEL, Applied, PositionMoved, Projector
from horae.projections.queries import applied_position
from horae.streams.feed import FIRST_WAIT_S, LONGEST_WAIT_S, OnApplied
from horae.streams.messages import EventRecord, Mark, Record, Unreadable
from horae.streams.parking import apply_or_park

if TYPE_CHECKING:
    from horae.projections.schema import Connection

log = structlog.get_logger(__name__)

_SHARDS = frozenset(ALL_SHARDS)
#: Events in one transaction.
_PORTION = 500
#: How often it is looked up how far all feeders together are.
_LOOK_EVERY_S = 1.0


class ShardLog(Protocol):
    """What the shard feed needs of the event store."""

    async def shard_events(self, shards: Collection[int], after: int, upto: int, limit: int = 500) -> list[Recorded]:
        """At most `limit` events of these shards later than `after`, up to `upto`, by ascending position.

        Nothing in between is left out; what cannot be decoded comes as `undecodable.Undecodable`.
        """
        ...

    async def head(self) -> int:
        """The position of the last event of the whole log."""
        ...


@dataclass(slots=True)
class ShardCounts:
    """Since the feed was made."""

    #: Applied; duplicates and parked ones are not.
    events: int = 0
    #: Of these, read from the event store, and not brought by a record.
    healed: int = 0
    #: Records of events that were applied already.
    duplicates: int = 0
    #: Shards that missed something, each time it was read from the store.
    gaps_healed: int = 0
    #: Events that were parked or queued behind a parked one.
    parked: int = 0
    #: Records that were none.
    unreadable: int = 0
    #: How often another feeder was found to have moved a shard of ours.
    moved: int = 0
    #: How often something had to be tried again after trouble with the machine.
    interruptions: int = 0


@dataclass(slots=True)
class _Plan:
    """What a handful of records comes to: events to apply, how far shards are then, what must be read before."""

    events: list[Recorded]
    reached: dict[int, int]
    #: Shard -> position up to which something is missing.
    gaps: dict[int, int]
    duplicates: int = 0


class ShardFeed:
    """One per process, for its agent. `connect` opens a connection of the owner's role; `monotonic` gives seconds."""

    def __init__(
        self,
        log: ShardLog,
        connect: Callable[[], Awaitable[Connection]],
        on_applied: Sequence[OnApplied],
        monotonic: Callable[[], float],
        projector: Projector | None = None,
    ) -> None:
        self._log, self._connect, self._on_applied, self._monotonic = log, connect, list(on_applied), monotonic
        self._projector = projector or Projector()
        self._conn: Connection | None = None
        #: Positions must be loaded, and whoever keeps a copy of the due index must load it again.
        self._stale = True
        self._busy = asyncio.Lock()
        self._looks: set[asyncio.Task[None]] = set()
        self._complete = 0
        self._last_mark = monotonic()
        self._looked = monotonic() - _LOOK_EVERY_S
        self.counts = ShardCounts()

    @property
    def position(self) -> int:
        """Everything up to here is applied, by all feeders together; as of the last mark or reset."""
        return max(self._complete, self._projector.position)

    @property
    def parked(self) -> frozenset[UUID]:
        """Families with parked events; anything but empty deserves an alarm."""
        return self._projector.parked

    @property
    def last_mark_age(self) -> float:
        """Seconds since a mark came, or since this was made. More than a few: the road is blocked somewhere."""
        return self._monotonic() - self._last_mark

    def at(self, shard: int) -> int:
        """Everything of the shard up to here is applied, as far as this feed knows."""
        return self._projector.at(shard)

    async def take(self, records: Sequence[Record | Unreadable]) -> None:
        """Apply what these records tell; returns when it is committed and told to `on_applied`.

        Never raises, but when cancelled: trouble is logged and tried again for as long as it lasts, as the caller's
        broker takes an exception for success. By one caller at a time.
        """
        wanted = self._readable(records)
        if any(isinstance(record, Mark) for record in wanted):
            self._last_mark = self._monotonic()
        if wanted:
            await self._patiently(lambda: self._take(wanted))

    async def reset(self) -> None:
        """Look where everything stands, and tell `on_applied` that changes may have been missed: for new assignments.

        Never raises, but when cancelled.
        """

        async def look() -> None:
            self._stale = True
            await self._ready()

        await self._patiently(look)

    async def catch_up(self, shards: Collection[int], upto: int) -> None:
        """Bring these shards up to `upto` (at most the log's head) from the store, without any records.

        Never raises, but when cancelled.
        """

        async def heal() -> None:
            conn = await self._ready()
            head = min(upto, await self._log.head())
            behind = {shard: head for shard in shards if self.at(shard) < head}
            if behind:
                await self._heal(conn, behind, asked=True)

        await self._patiently(heal)

    async def close(self) -> None:
        """Let go of the connection; a later call opens another."""
        for look in self._looks:
            look.cancel()
        async with self._busy:
            conn, self._conn = self._conn, None
            if conn is not None:
                with contextlib.suppress(*DATABASE_AWAY):
                    await conn.close(timeout=1)

    def _readable(self, records: Sequence[Record | Unreadable]) -> list[Record]:
        readable: list[Record] = []
        for record in records:
            if isinstance(record, Unreadable):
                reason = str(record)
            elif not _SHARDS.issuperset(record.last if isinstance(record, Mark) else (record.shard,)):
                reason = "names a shard that does not exist"
            else:
                readable.append(record)
                continue
            # What it should have said, the next record or mark of its shard shows to be missing.
            self.counts.unreadable += 1
            log.error("record_unreadable", reason=reason)
        return readable

    async def _patiently(self, attempt: Callable[[], Awaitable[None]]) -> None:
        wait_s = FIRST_WAIT_S
        while True:
            # Whoever is cancelled while he waits for his turn must not drop the connection of him whose turn it is.
            async with self._busy:
                try:
                    await attempt()
                    return
                except PositionMoved:
                    self._stale = True
                    self.counts.moved += 1
                    log.info("shard_feed_position_moved")
                    continue
                except (*DATABASE_AWAY, Unavailable) as error:
                    log.warning("shard_feed_interrupted", error=str(error), wait_s=wait_s)
                except Exception:
                    # A fault in the code. To go on would lose events, to end would too: the watchdog sees us stand
                    # still.
                    log.exception("shard_feed_failed", wait_s=wait_s)
                except BaseException:
                    self._drop()  # perhaps in the middle of a statement
                    raise
                self._drop()
            self.counts.interruptions += 1
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    def _drop(self) -> None:
        conn, self._conn, self._stale = self._conn, None, True
        if conn is not None:
            conn.terminate()

    async def _ready(self) -> Connection:
        """A connection, with positions as they stand."""
        conn, fresh = self._conn, False
        if conn is None or conn.is_closed():
            conn = await self._new_connection()
            self._stale = fresh = True
        if self._stale:
            before = self._projector.copy
            await self._projector.load(conn)
            if self._projector.copy != before and not fresh:
                # The connection still knows the row types of the copy that is gone.
                conn.terminate()
                conn = await self._new_connection()
                await self._projector.load(conn)
            await self._tell(Applied(self._projector.position, reset=True))
            self._stale = False
        return conn

    async def _new_connection(self) -> Connection:
        self._conn = conn = await self._connect()
        await conn.add_listener(LOOK_CHANNEL, self._heard)
        return conn

    def _heard(self, *_: Any) -> None:
        """Somebody has changed rows aside from the log."""
        look = asyncio.create_task(self.reset(), name="shard-feed-look")
        self._looks.add(look)
        look.add_done_callback(self._looks.discard)

    async def _take(self, records: Sequence[Record]) -> None:
        conn = await self._ready()
        plan = self._plan(records)
        if plan.gaps:
            await self._heal(conn, plan.gaps)
        if plan.events or plan.reached:
            await self._apply(conn, plan.events, plan.reached)
        self.counts.duplicates += plan.duplicates
        if any(isinstance(record, Mark) for record in records) and self._monotonic() - self._looked >= _LOOK_EVERY_S:
            self._complete = await applied_position(conn)
            self._looked = self._monotonic()

    def _plan(self, records: Sequence[Record]) -> _Plan:
        plan = _Plan([], {}, {})
        at: dict[int, int] = {}

        def missing(shard: int, upto: int) -> None:
            plan.gaps[shard] = max(upto, plan.gaps.get(shard, 0))

        for record in records:
            if isinstance(record, Mark):
                for shard, last in record.last.items():
                    ours = at.get(shard, 0) or self.at(shard)
                    if last > ours:
                        missing(shard, last)
                    at[shard] = plan.reached[shard] = max(ours, record.head)
                continue
            ours = at.get(record.shard, 0) or self.at(record.shard)
            if record.position <= ours:
                plan.duplicates += 1
                continue
            if record.previous > ours:
                missing(record.shard, record.previous)
            at[record.shard] = record.position
            event = _decoded(record)
            if event is None:
                missing(record.shard, record.position)
            else:
                plan.events.append(event)
        return plan

    async def _heal(self, conn: Connection, gaps: Mapping[int, int], *, asked: bool = False) -> None:
        """Apply from the store what is missing in these shards, all of them in one walk. `asked`: nothing was lost."""
        after, upto = min(self.at(shard) for shard in gaps), max(gaps.values())
        (log.debug if asked else log.info)("shard_feed_healing", shards=sorted(gaps), after=after, upto=upto)
        while after < upto:
            page = await self._log.shard_events(gaps.keys(), after, upto, _PORTION)
            after = page[-1].position if len(page) == _PORTION else upto
            before = self.counts.events
            await self._apply(conn, page, dict.fromkeys(gaps, after))
            self.counts.healed += self.counts.events - before
        self.counts.gaps_healed += 0 if asked else len(gaps)

    async def _apply(self, conn: Connection, events: Sequence[Recorded], reached: Mapping[int, int]) -> None:
        for begin in range(0, max(1, len(events)), _PORTION):
            portion = events[begin : begin + _PORTION]
            last = begin + _PORTION >= len(events)
            async for applied in apply_or_park(self._projector, conn, portion, reached if last else {}):
                await self._tell(applied)

    async def _tell(self, applied: Applied) -> None:
        self.counts.events += applied.events
        self.counts.parked += applied.parked
        for tell in self._on_applied:
            await tell(applied)


def _decoded(record: EventRecord) -> Recorded | None:
    """The event, or None: what came is damaged, or newer than we are; the store's own word is asked for."""
    try:
        event = record.recorded()
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError) as error:
        log.warning("record_undecodable", position=record.position, event_name=record.event, error=str(error))
        return None
    return event if event.meta.shard == record.shard else None
