"""What one worker of many looks after: its partitions' shards, its part of those that nobody has, and their feed.

Place in the flow: Faust's assignment, the living workers -> *duty* -> dispatcher (which shards), shard feed (records,
or the event store itself where no word comes by Kafka). Nothing here decides what is right: positions and claims have
one winner each; two workers with the same shard cost a little, and a shard that nobody has for a moment is late.

A shard is fed from the store whenever no mark that names it has come for a while: Kafka is away, the relay is dead, the
group is being rearranged, or the shard's partition belongs to a worker that has died. Each worker does that for its own
shards only, so that they do not get into each other's way.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from horae.projections.due import ALL_SHARDS
from horae.streams.arrivals import Arrival
from horae.streams.dispatcher import Among, Peers
from horae.streams.messages import Mark, Record, Unreadable, shards_of

log = structlog.get_logger(__name__)

_EVERYTHING = 1 << 62


class Feeding(Protocol):
    """The shard feed, see `streams.shardfeed.ShardFeed`: none of it raises, but when cancelled."""

    async def take(self, records: Sequence[Record | Unreadable]) -> None: ...

    async def reset(self) -> None: ...

    async def catch_up(self, shards: Collection[int], upto: int) -> None: ...

    def at(self, shard: int) -> int: ...


class Owning(Protocol):
    """The dispatcher, see `streams.dispatcher.Dispatcher`."""

    def own(self, shards: Collection[int]) -> None: ...

    @property
    def shards(self) -> frozenset[int]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DutyConfig:
    """All in seconds."""

    #: Without a mark for so long a shard is fed from the store.
    silence_s: float = 5.0
    #: How often the store is looked at then.
    look_every_s: float = 0.1
    #: How long a new assignment waits for the database: the group waits with it.
    reset_within_s: float = 3.0


class Duty:
    """One per worker. `changed` is told when what Kafka assigned to us has changed. `monotonic` gives seconds."""

    def __init__(
        self,
        config: DutyConfig,
        feed: Feeding,
        dispatcher: Owning,
        peers: Peers,
        monotonic: Callable[[], float],
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._config, self._feed, self._dispatcher, self._peers = config, feed, dispatcher, peers
        self._monotonic, self._changed = monotonic, changed
        #: The shards that our partitions give us; nobody else should have them.
        self.assigned: frozenset[int] = frozenset()
        #: The same by partition: as we reckon it, then as its marks say, which know how many partitions there are.
        self._by_partition: dict[int, frozenset[int]] = {}
        self._leaving = False
        #: When a mark last named the shard.
        self._heard: dict[int, float] = {}
        self._directly: frozenset[int] = frozenset()
        self._look = asyncio.Event()

    @property
    def directly(self) -> frozenset[int]:
        """The shards that are fed from the store at present."""
        return self._directly

    @property
    def position(self) -> int:
        """Every shard that we look after is applied up to here; far ahead if there is none."""
        return min((self._feed.at(shard) for shard in self._dispatcher.shards), default=_EVERYTHING)

    async def assign(self, owned: Iterable[int], partitions: int) -> None:
        """Kafka has given us these partitions, and no others, of so many."""
        before = self.assigned
        self._by_partition = {partition: shards_of([partition], partitions) for partition in owned}
        self.assigned = frozenset().union(*self._by_partition.values())
        # Of what is new nothing has been heard: it is fed from the store until then, and so is never late.
        self._heard = {shard: at for shard, at in self._heard.items() if shard in before & self.assigned}
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._config.reset_within_s):
                await self._feed.reset()
        self.review()
        self._changed()

    def review(self) -> None:
        """Look after what is ours now: the living may have become more or fewer."""
        if self._leaving:
            return
        self._dispatcher.own(share(self.assigned - self._lost(), self._peers.among()))
        self._look.set()

    def leave(self) -> None:
        """We are about to end: others may have our shards from now on."""
        self._leaving = True
        self._by_partition, self.assigned = {}, frozenset()
        self._dispatcher.own(())
        self._changed()

    async def take(self, arrivals: Sequence[Arrival]) -> None:
        """A batch has come by Kafka; see `arrivals.Take`."""
        records = [arrival.record() for arrival in arrivals]
        await self._feed.take(records)
        for arrival, record in zip(arrivals, records, strict=True):
            if isinstance(record, Mark) and arrival.partition in self._by_partition:
                self._marked(arrival.partition, frozenset(record.last))

    def _marked(self, partition: int, shards: frozenset[int]) -> None:
        self._heard |= dict.fromkeys(shards, self._monotonic())
        if self._by_partition[partition] != shards:
            self._by_partition[partition] = shards
            self.assigned = frozenset().union(*self._by_partition.values())
            self.review()
            self._changed()

    async def run(self) -> None:
        """Feed from the store what no word comes of, until cancelled."""
        while True:
            self._look.clear()
            await self.run_once()
            pause_s = self._config.look_every_s if self._directly else min(1.0, self._config.silence_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._look.wait()

    async def run_once(self) -> None:
        """Look once, and bring what is silent up to the log's end."""
        silent = self._silent(self._dispatcher.shards, self._config.silence_s)
        if silent != self._directly:
            log.info("fed_from_the_store", shards=len(silent), of=len(self._dispatcher.shards))
            self._directly = silent
        if silent:
            await self._feed.catch_up(silent, _EVERYTHING)

    def _silent(self, shards: frozenset[int], silence_s: float) -> frozenset[int]:
        since = self._monotonic() - silence_s
        heard = self._heard
        return frozenset(shard for shard in shards if shard not in heard or heard[shard] < since)

    def _lost(self) -> frozenset[int]:
        """Assigned to us, but somebody who lives says so of himself, and we hear nothing: our word is out of date."""
        return self._silent(self.assigned & self._peers.among().others, 3 * self._config.silence_s)


def share(assigned: Collection[int], standing: Among) -> frozenset[int]:
    """The shards to look after: those assigned to us, and our part of those that nobody has who lives."""
    mine = frozenset(assigned)
    left = (shard for shard in ALL_SHARDS if shard not in mine and shard not in standing.others)
    return mine | {shard for shard in left if shard % standing.count == standing.rank}
