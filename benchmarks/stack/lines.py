"""The measurements, each a function of the running world that gives numbers; `__main__` runs and prints them."""

from __future__ import annotations

import asyncio
import bisect
import json
import signal
import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self, TypeAlias

import asyncpg

from benchmarks.stack.events import Block
from benchmarks.stack.world import Process, World, until
from horae.domain.ids import shard_of
from horae.projections import schema

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_LOOK_EVERY_S = 0.01
_TENANT = "default"
APPLIED = "SELECT shard, position FROM read.positions WHERE projection = 'core'"
INDEXED = "SELECT shard, position FROM sys.search_positions"
_ENDED = "SELECT count(*) FROM log.events WHERE notification_id > $1 AND topic = 'occurrence.ended.v1'"
_RELAYED = "SELECT position FROM sys.relay"


async def connect(world: World) -> Connection:
    """A connection of the owner's."""
    return await schema.connect(world.dsn)


async def positions(conn: Connection, query: str) -> dict[int, int]:
    """Shard -> how far it is; what stands for the whole log counts for every shard."""
    found: dict[int, int] = {row["shard"]: row["position"] for row in await conn.fetch(query)}
    whole = found.pop(-1, 0)
    return {shard: max(found.get(shard, 0), whole) for shard in range(64)}


@dataclass(slots=True)
class CatchUp:
    """How long a block took to be published, applied and indexed, and what CPU went into it."""

    events: int
    relayed_s: float = 0.0
    applied_s: float = 0.0
    indexed_s: float = 0.0
    cpu_us: dict[str, float] = field(default_factory=dict)
    #: Shards that were read from the store meanwhile, not from Kafka.
    healed: float = 0.0


async def catch_up(world: World, conn: Connection, block: Block, *, applied: bool, indexed: bool) -> CatchUp:
    """Begin when the block has just become visible; wait until all who are asked about have it."""
    begin, before = time.monotonic(), world.cpu()
    healed = (await world.figures(conn)).get("horae_feed_gaps_healed_total", 0.0) if applied else 0.0
    result = CatchUp(block.events)

    async def done() -> bool:
        now = time.monotonic() - begin
        if not result.relayed_s and await conn.fetchval(_RELAYED) >= block.head:
            result.relayed_s = now
        if applied and not result.applied_s and reached(await positions(conn, APPLIED), block.last):
            result.applied_s = now
        if indexed and not result.indexed_s and reached(await positions(conn, INDEXED), block.last):
            result.indexed_s = now
        return bool(result.relayed_s and (result.applied_s or not applied) and (result.indexed_s or not indexed))

    await until(done, "the block is caught up with", _LOOK_EVERY_S)
    result.cpu_us = {kind: s / block.events * 1e6 for kind, s in world.cpu().since(before).items()}
    if applied:
        await asyncio.sleep(1.2)  # the next heartbeat
        result.healed = (await world.figures(conn)).get("horae_feed_gaps_healed_total", 0.0) - healed
    return result


def reached(at: dict[int, int], last: dict[int, int]) -> bool:
    """Whether every shard has its last event."""
    return all(at[shard] >= position for shard, position in last.items())


class Load:
    """The load's process (`load.py`)."""

    def __init__(self, world: World) -> None:
        self._world = world
        #: Creates a second that can be counted on; fewer, once they were late.
        self.carries = 800.0

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "benchmarks.stack.load",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=self._world.environment_of(self._world.folder),
            limit=2**26,
        )
        self.ports: list[int] = (await self._answer())["ports"]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()

    async def ask(self, do: str, **order: Any) -> dict[str, Any]:
        """Give an order, and wait for what comes of it."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **order}).encode() + b"\n")
        await self._process.stdin.drain()
        return await self._answer()

    async def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise SystemExit("the load's process ended; see above")
        answer: dict[str, Any] = json.loads(line)
        return answer


@dataclass(slots=True)
class Lag:
    """From the commit's acknowledgement to the event being applied (or indexed): seconds, sorted."""

    per_second: float
    applied_s: list[float]
    indexed_s: list[float]
    cpu_cores: dict[str, float]


async def lag(world: World, conn: Connection, load: Load, rate: int, seconds: float, *, indexed: bool) -> Lag:
    """Offer creates at `rate`, and look every 10 ms how far each shard is."""
    queries = {"applied": APPLIED} | ({"indexed": INDEXED} if indexed else {})
    #: Which -> shard -> (positions, the times at which they were first seen), both ascending.
    seen: dict[str, dict[int, tuple[list[int], list[float]]]] = {
        which: defaultdict(lambda: ([], [])) for which in queries
    }
    before, begin = world.cpu(), time.monotonic()
    asking = asyncio.create_task(load.ask("pace", rate=rate, seconds=seconds))
    last: dict[int, int] = {}
    cpu: dict[str, float] = {}

    async def look() -> bool:
        found = {which: await positions(conn, query) for which, query in queries.items()}
        now = time.monotonic()
        for which, at in found.items():
            for shard, position in at.items():
                places, times = seen[which][shard]
                if not places or position > places[-1]:
                    places.append(position)
                    times.append(now)
        if asking.done() and not last:
            cpu.update({kind: s / (now - begin) for kind, s in world.cpu().since(before).items()})
            for _, position, shard in asking.result()["acked"]:
                last[shard] = max(position, last.get(shard, 0))
        return bool(last) and all(reached(at, last) for at in found.values())

    await until(look, "what was created is applied", _LOOK_EVERY_S)
    load_told = asking.result()
    cpu["load"] = load_told["cpu_s"] / seconds

    def lags(which: str) -> list[float]:
        found = []
        for acked_at, position, shard in load_told["acked"]:
            places, times = seen[which][shard]
            found.append(max(0.0, times[bisect.bisect_left(places, position)] - acked_at))
        return sorted(found)

    return Lag(load_told["per_second"], lags("applied"), lags("indexed") if indexed else [], cpu)


def percentile(ordered: list[float], share: float) -> float:
    """Of sorted numbers."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


@dataclass(slots=True)
class Fired:
    """So many due at one instant: how fast they went out, and what CPU each took until it was in the read models."""

    per_second: float
    cpu_us: dict[str, float]


async def fire(world: World, conn: Connection, load: Load, count: int, *, webhook: bool) -> Fired:
    """Let `count` one-offs fall due at one instant."""
    channels = [f"webhook:http://127.0.0.1:{port}/hook" for port in load.ports] if webhook else ["log:"]
    seen = {worker.popen.pid: len(worker.releases()) for worker in world.workers}
    await load.ask("times")
    before_all = await conn.fetchval("SELECT log.head()")
    due_at = datetime.now(UTC) + timedelta(seconds=3 + count / load.carries)
    told = await load.ask("due", count=count, at=due_at.isoformat(), spread_s=0, channels=channels)
    await applied_upto(conn, told["position"])
    late = datetime.now(UTC) > due_at
    before = world.cpu()

    async def fired() -> bool:
        return bool(await conn.fetchval(_ENDED, before_all) >= count)

    await until(fired, f"{count} are released", 0.05)
    await applied_upto(conn, await conn.fetchval("SELECT log.head()"))
    if late:
        print("    (not all were created before they were due: once more, with more time)", flush=True)
        load.carries /= 2
        return await fire(world, conn, load, count, webhook=webhook)
    cpu = {kind: s / count * 1e6 for kind, s in world.cpu().since(before).items()}
    if webhook:
        at = sorted((await load.ask("times"))["at"])
    else:
        lines = [line for worker in world.workers for line in worker.releases()[seen[worker.popen.pid] :]]
        at = sorted(datetime.fromisoformat(line["released_at"]).timestamp() for line in lines)
    if len(at) != count:
        print(f"    ({len(at)} releases of {count})", flush=True)
    return Fired(len(at) / (at[-1] - due_at.timestamp()), cpu)


async def applied_upto(conn: Connection, position: int) -> None:
    """Return when the read models have everything up to there: where idle shards are told so by marks."""

    async def there() -> bool:
        return min((await positions(conn, APPLIED)).values()) >= position

    await until(there, f"position {position} is applied", 0.05)


@dataclass(slots=True)
class HandOver:
    """What became of the shards of a worker that was ended. Seconds, from the signal on unless said otherwise."""

    next_s: float
    every_s: float
    #: Of what was due on its shards within five seconds from the signal on: released minus due, the worst.
    late_s: float
    lost: int


async def hand_over(world: World, conn: Connection, load: Load, rate: int, number: signal.Signals) -> HandOver:
    """End one of the workers while `rate` a second are due, spread over all shards; look who fires on its shards."""
    ahead_s, span_s = 3.0, 14.0
    lead_s = 3 + rate * span_s / load.carries
    before_all = await conn.fetchval("SELECT log.head()")
    due_at = datetime.now(UTC) + timedelta(seconds=lead_s)
    count = int(rate * span_s)
    told = await load.ask("due", count=count, at=due_at.isoformat(), spread_s=span_s, channels=["log:"])
    await applied_upto(conn, told["position"])
    victim = world.workers[0]
    theirs = await _shards_of(conn, victim)
    others = [worker for worker in world.workers if worker is not victim]
    wait_s = (due_at - datetime.now(UTC)).total_seconds() + ahead_s
    await asyncio.sleep(wait_s)
    killed_at = datetime.now(UTC)
    victim.popen.send_signal(number)

    async def fired() -> bool:
        return bool(await conn.fetchval(_ENDED, before_all) >= count)

    await until(fired, "all of it has fired", 0.1)
    world.end(victim, signal.SIGKILL)
    first: dict[int, float] = {}
    late_s, released = 0.0, set()
    for worker in [victim, *others]:
        for line in worker.releases():
            due, at = (datetime.fromisoformat(line[name]) for name in ("due_at", "released_at"))
            if not due_at <= due < due_at + timedelta(seconds=span_s):
                continue
            released.add(line["occurrence_id"])
            shard = shard_of(_TENANT, line["recipient"])
            if shard in theirs and killed_at <= due <= killed_at + timedelta(seconds=5):
                late_s = max(late_s, (at - due).total_seconds())
            if worker is not victim and shard in theirs and at >= killed_at:
                first[shard] = min(first.get(shard, 1e9), (at - killed_at).total_seconds())
    return HandOver(min(first.values()), max(first.values()), late_s, count - len(released))


async def _shards_of(conn: Connection, worker: Process) -> frozenset[int]:
    rows = await conn.fetch(
        "SELECT shards FROM sys.heartbeats JOIN sys.incarnations AS life ON life.id = incarnation WHERE life.pid = $1 "
        "ORDER BY incarnation DESC LIMIT 1",
        worker.popen.pid,
    )
    return frozenset(rows[0]["shards"])
