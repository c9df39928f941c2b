"""Reads the due index ahead: the own shards up to the horizon, and what is overdue in the shards of others.

Place in the flow: due index -> *reading* -> horizon -> dispatcher. Which shards are its own may change at any time,
while a page is being read, too. Two dispatchers that read the same row do no harm, because one of their claims wins;
but a claim that loses costs a round trip, so that what others will do anyway is left to them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from horae.projections.due import ALL_SHARDS, DueRow, Queue
from horae.streams.dispatcher.config import DispatcherConfig
from horae.streams.dispatcher.fronts import Fronts
from horae.streams.dispatcher.horizon import BEGINNING, Edge, Horizon
from horae.streams.dispatcher.source import DueSource

#: Rows read from the index with one query: more would hold up the loop.
_PAGE = 2_000
#: Queues that are looked at, at a time, to find those whose turn it is: 500 took 30 to 140 ms on a busy machine.
_QUEUES = 1_000
#: Nothing else is dispatched meanwhile: so many times as long as a look took passes before the next, within a bound.
_BETWEEN_TURNS, _MOST_BETWEEN_TURNS = 9, 10
_LAST_KEY = UUID(int=(1 << 128) - 1)
#: By how much longer overdue work waits that somebody else seems to have, and that seems to fall to somebody else.
_PATIENCE, _LAST_RESORT = 3, 10


@dataclass(frozen=True, slots=True)
class Among:
    """How this dispatcher stands among the living ones, as far as is known: the `rank`-th of `count`, from 0."""

    rank: int = 0
    count: int = 1
    #: Shards that some other living dispatcher has.
    others: frozenset[int] = frozenset()

    def is_ours(self, key: UUID) -> bool:
        """Whether it falls to us to take `key` over: to one of the living, as long as they know of each other."""
        return key.int % self.count == self.rank


class Peers(Protocol):
    """Knows the other dispatchers."""

    def among(self) -> Among:
        """The present standing; no I/O."""
        ...


class Alone:
    """The only dispatcher there is."""

    def among(self) -> Among:
        """First of one."""
        return Among()


class Reading:
    """Fills `horizon` from `source`. Not for concurrent use, but for `own`, which may come at any await."""

    def __init__(
        self,
        config: DispatcherConfig,
        source: DueSource,
        horizon: Horizon,
        shards: Collection[int],
        peers: Peers,
        waiting: Callable[[int, str], int],
    ) -> None:
        self._config, self._source, self._horizon, self._peers = config, source, horizon, peers
        #: How many due rows of a priority and tenant are held.
        self._waiting = waiting
        self._next_turns = float("-inf")
        #: The queue after which to look next; None: from the most pressing on.
        self._next_queue: Queue | None = None
        self._fronts = Fronts()
        self.shards = frozenset(shards)
        self._looked_abroad = time.monotonic()
        #: While we are busy: since when which very late rows of the living have been seen to lie there, and when last.
        self._untouched: dict[UUID, datetime] = {}
        self._watched: datetime | None = None

    @property
    def everything(self) -> bool:
        """Whether every shard is ours."""
        return len(self.shards) == len(ALL_SHARDS)

    def own(self, shards: Collection[int]) -> bool:
        """From now on these are ours. What was held of others is let go, unless it was taken; False: no change."""
        new = frozenset(shards)
        lost, gained = self.shards - new, new - self.shards
        self.shards = new
        if lost:
            self._horizon.let_go(lost)
        if gained:
            self._horizon.rewind()
            self._fronts.forget()
        return bool(lost or gained)

    def begin_anew(self) -> None:
        """Read the index from its beginning, and each queue, in case a change was never heard of."""
        self._horizon.rewind()
        self._fronts.begin_anew()

    async def read_ahead(self, now: datetime) -> None:
        """Move the horizon's edge ahead when half of it is used up.

        Raises what the source raises; what was read until then stays.
        """
        horizon_s = self._config.horizon_s
        until = now + timedelta(seconds=horizon_s)
        if self.shards and self._horizon.edge[0] < now + timedelta(seconds=horizon_s / 2):
            while self._has_room:
                if not await self._read_page(self._horizon.edge, until):
                    break

    async def give_turns(self, now: datetime) -> None:
        """While more is overdue than memory holds: read the first of those of whom little of it is held.

        Rows are read in order of time, so that a flood of one tenant would keep everybody out who is due after it,
        however pressing. Raises what the source raises.
        """
        behind = bool(self.shards) and self._horizon.edge[0] < now
        if not behind:
            self._fronts.forget()
        if not behind or self._has_room or time.monotonic() < self._next_turns:
            return
        began = time.monotonic()
        try:
            await self._read_fronts(now)
        finally:
            ended, every_s = time.monotonic(), self._config.turns_every_s
            between_s = min(_BETWEEN_TURNS * (ended - began), _MOST_BETWEEN_TURNS * every_s)
            self._next_turns = ended + max(every_s, between_s)

    async def _read_fronts(self, now: datetime) -> None:
        found, self._next_queue = await self._source.queues(now, self._next_queue, _QUEUES)
        reserve = self._config.rows_for_turns
        each = max(1, reserve // max(1, len(found)))
        kept_out = [queue for queue in found if self._waiting(queue.priority, queue.tenant) < each]
        if not kept_out:
            return
        rows: dict[Queue, list[DueRow]] = {queue: [] for queue in kept_out}
        for row in await self._source.fronts(self._fronts.after(kept_out), now, each):
            rows[Queue(row.priority, row.tenant)].append(row)
        for queue, front in rows.items():
            for row in front:
                if row.shard in self.shards and not self._horizon.adopt(row, reserve):
                    # No more fits: that which did not is where the next look begins.
                    return
                self._fronts.read(queue, (row.due_at, row.key))
            if len(front) < each:
                self._fronts.read(queue, None)

    async def look_abroad(self, now: datetime, busy: bool) -> None:
        """Look after overdue work of others, once it is time to do so again.

        `busy`: we are late with our own. Then we take over from the living only what somebody has left untouched for
        long at the front of all that is late: where everybody has too much to do, those who take each other's work only
        do it twice. Raises what the source raises.
        """
        if not self.everything and time.monotonic() - self._looked_abroad > self._config.foreign_every_s:
            await self._look_abroad(now, busy)

    @property
    def pause_s(self) -> float:
        """How long until it is time to look abroad again."""
        if self.everything:
            return self._config.max_sleep_s
        return max(0.0, self._looked_abroad + self._config.foreign_every_s - time.monotonic())

    @property
    def _has_room(self) -> bool:
        """Is there room enough for a page to be worth its while?"""
        return self._horizon.room >= min(self._config.batch, self._horizon.capacity)

    async def _read_page(self, after: Edge, until: datetime) -> bool:
        """Read one page; False: there is no more up to `until`."""
        limit = min(self._horizon.room, _PAGE)
        self._horizon.begin_load(until)
        try:
            page = await self._source.page(self.shards, after, until, limit)
        except BaseException:
            self._horizon.abandon_load()
            raise
        full = len(page) >= limit
        edge = (page[-1].due_at, page[-1].key) if full else (until, _LAST_KEY)
        # Some may have become another's while we read; what became ours rewound the horizon.
        self._horizon.end_load([row for row in page if row.shard in self.shards], edge)
        return full

    async def _look_abroad(self, now: datetime, busy: bool) -> None:
        """Take over what is overdue in shards that are not ours, each a share of it.

        What nobody who lives has, soon; what somebody has, later, for he may merely have much to do; and what is very
        late whoever sees it first and has nothing to do, because whoever it would fall to seems not to do it.
        """
        self._looked_abroad = time.monotonic()
        among, after = self._peers.among(), timedelta(seconds=self._config.foreign_after_s)
        abroad = [shard for shard in ALL_SHARDS if shard not in self.shards]
        orphaned = [shard for shard in abroad if shard not in among.others]
        for shards, overdue, limit in (
            (orphaned, after, _PAGE),
            (() if busy else abroad, after * _PATIENCE, self._config.batch),
        ):
            if not shards:
                continue
            for row in await self._source.page(shards, BEGINNING, now - overdue, min(self._horizon.room or 1, limit)):
                if among.is_ours(row.key) or (not busy and row.due_at <= now - after * _LAST_RESORT):
                    self._horizon.adopt(row)
        if not busy:
            self._untouched, self._watched = {}, None
        elif self._watched is None or now - self._watched >= after * _LAST_RESORT / 2:
            self._watched = now
            await self._watch_the_living(now, [shard for shard in abroad if shard in among.others], among)

    async def _watch_the_living(self, now: datetime, shards: Collection[int], among: Among) -> None:
        """Take over what has lain untouched since an earlier look: its owner lives, and does nothing.

        Of somebody who merely has much to do the oldest work goes first, so that it is not there at the next look.
        """
        long = timedelta(seconds=self._config.foreign_after_s) * _LAST_RESORT
        late = await self._source.page(shards, BEGINNING, now - long, self._config.batch) if shards else []
        self._untouched = {row.key: self._untouched.get(row.key, now) for row in late}
        for row in late:
            # Twice as long when it falls to somebody else, who seems not to do it either.
            if now - self._untouched[row.key] >= (long if among.is_ours(row.key) else 2 * long):
                self._horizon.adopt(row)
