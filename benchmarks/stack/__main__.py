"""`make bench-stack`: what the stack profile carries on this machine, with real servers and real processes.

Sizes by environment: BENCH_ROUNDS (3), BENCH_EVENTS (24000 in a block), BENCH_WORKERS ("1 2 4"), BENCH_FIRES (3000),
BENCH_RATE (1667 creates a second), BENCH_SECONDS (12, of offered load), BENCH_DUE_RATE (200 a second
while workers end), BENCH_PARTS (all of: relay scaling search lag
http handover). Configurations are run by turns; what is printed are medians, and the rounds besides.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections import defaultdict

import httpx
from rich.console import Console

from benchmarks.stack import lines
from benchmarks.stack.events import Block, Blocks, store
from benchmarks.stack.report import Report, each
from benchmarks.stack.sizes import measure_sizes
from benchmarks.stack.world import KEY, World, until


def _size(name: str, default: int) -> int:
    return int(os.environ.get(f"BENCH_{name}", default))


ROUNDS, EVENTS, FIRES = _size("ROUNDS", 3), _size("EVENTS", 24_000), _size("FIRES", 3_000)
RATE, SECONDS, DUE_RATE = _size("RATE", 1_667), _size("SECONDS", 12), _size("DUE_RATE", 200)
WORKERS = [int(count) for count in os.environ.get("BENCH_WORKERS", "1 2 4").split()]
PARTS = os.environ.get("BENCH_PARTS", "relay scaling lag search http handover").split()
#: Workers where their number is not what is measured.
_SOME = 2

console = Console(width=160)


class Bench:
    """One run: a world, a connection, the load's process, and what was found."""

    def __init__(self, world: World, conn: lines.Connection, load: lines.Load) -> None:
        self.world, self.conn, self.load = world, conn, load
        self.blocks = Blocks(EVENTS)
        self.report = Report(ROUNDS)

    async def block(self) -> Block:
        """The next block, just stored."""
        portions = await asyncio.to_thread(self.blocks.prepare)
        return await store(self.conn, portions)

    async def relay(self) -> None:
        """Nobody but the relay is at work; then the first worker finds all of that and reads it from the store."""
        relay = self.world.processes[0]
        if relay.kind != "relay":
            raise RuntimeError("the relay is started first")
        found, behind = [], 0
        for _ in range(ROUNDS):
            found.append(await lines.catch_up(self.world, self.conn, await self.block(), applied=False, indexed=False))
            behind += found[-1].events
            say(f"relay: {found[-1].events / found[-1].relayed_s:,.0f} events/s {costs(found[-1].cpu_us)}")
        self.report.line(
            "events/s: relay → Kafka (each once, and a public copy)", [r.events / r.relayed_s for r in found]
        )
        self.report.cost("relay alone", found)
        head = int(await self.conn.fetchval("SELECT log.head()"))
        begin, before = time.monotonic(), self.world.cpu()
        self.world.start("worker")

        async def there() -> bool:
            return min((await lines.positions(self.conn, lines.APPLIED)).values()) >= head

        await until(there, "a worker that starts behind catches up")
        rate = behind / (time.monotonic() - begin)
        say(f"a worker that starts {behind:,} events behind: {rate:,.0f} events/s")
        cpu = {kind: s / behind * 1e6 for kind, s in self.world.cpu().since(before).items()}
        self.report.line(f"events/s: one worker that starts {behind:,} events behind, its start included", [rate])
        self.report.costs["a worker that starts behind"] = [cpu]

    async def scaling(self) -> None:
        """More and more workers and fewer again, so that none of the configurations has all the good moments."""
        up = list(WORKERS)
        order = [count for n in range(ROUNDS) for count in (up if n % 2 == 0 else reversed(up))]
        caught: dict[int, list[lines.CatchUp]] = defaultdict(list)
        fired: dict[tuple[str, int], list[lines.Fired]] = defaultdict(list)
        for count in order:
            await self.world.have_workers(count, self.conn)
            result = await lines.catch_up(self.world, self.conn, await self.block(), applied=True, indexed=False)
            caught[count].append(result)
            say(
                f"{count} workers: {result.events / result.applied_s:,.0f} events/s (relayed at "
                f"{result.events / result.relayed_s:,.0f}/s, {result.healed:g} shards healed) {costs(result.cpu_us)}"
            )
            for channel in ("log:", "webhook:"):
                some = FIRES if channel == "log:" else FIRES // 2
                shot = await lines.fire(self.world, self.conn, self.load, some, webhook=channel == "webhook:")
                fired[channel, count].append(shot)
                say(f"{count} workers, {channel} {shot.per_second:,.0f} fires/s {costs(shot.cpu_us)}")
        for count, results in caught.items():
            rates = [r.events / r.applied_s for r in results]
            self.report.line(f"events/s: relay → Kafka → Faust → PostgreSQL, {workers(count)}", rates)
            self.report.cost(f"catching up, {workers(count)}", results)
        for (channel, count), shots in fired.items():
            self.report.line(
                f"fires/s on {channel} of {FIRES if channel == 'log:' else FIRES // 2:,} due at once, {workers(count)}",
                [shot.per_second for shot in shots],
                peers="River 24,400 · graphile-worker 32,800 · BullMQ 12,400 · DBOS 870 (20,000 at once, no history)"
                if channel == "log:" and count == WORKERS[0]
                else "",
            )
            self.report.costs[f"firing on {channel}, {workers(count)}"] = [shot.cpu_us for shot in shots]

    async def lag(self, *, indexed: bool) -> None:
        """Creates offered at a rate that does not ask whether anybody keeps up."""
        found = []
        for _ in range(ROUNDS):
            found.append(await lines.lag(self.world, self.conn, self.load, RATE, SECONDS, indexed=indexed))
            cores = each_of(found[-1].cpu_cores)
            say(f"lag at {found[-1].per_second:,.0f}/s: {lag_of(found[-1].applied_s)} cores {cores}")
            if indexed:
                say(f"    of documents: {lag_of(found[-1].indexed_s)}")
        carried = f"{statistics.median(r.per_second for r in found):,.0f} creates/s carried"
        beside = "with the indexer beside" if indexed else "without an indexer"
        self._lag_line(f"lag of the read models in s, {carried}, {beside}", [r.applied_s for r in found])
        if indexed:
            self._lag_line(f"lag of the documents in s, {carried}", [r.indexed_s for r in found])

    def _lag_line(self, what: str, rounds: list[list[float]]) -> None:
        p50 = statistics.median(lines.percentile(r, 0.5) for r in rounds)
        p99 = [lines.percentile(r, 0.99) for r in rounds]
        self.report.line(
            f"{what}: p99 (p50 {p50:.3f})", p99, target="< 1", met=statistics.median(p99) < 1, form="{:.3f}"
        )

    async def search(self) -> None:
        """The same with an indexer."""
        self.world.start("indexer")
        head: int = await self.conn.fetchval("SELECT log.head()")

        async def there() -> bool:
            return min((await lines.positions(self.conn, lines.INDEXED)).values()) >= head

        begin = time.monotonic()
        await until(there, "the indexer has filled the index")
        documents = await self.conn.fetchval("SELECT count(*) FROM read.schedules")
        say(f"a new index of {documents:,} schedules and what belongs to them: {time.monotonic() - begin:.1f} s")
        await asyncio.sleep(3)
        found = []
        for _ in range(ROUNDS):
            found.append(await lines.catch_up(self.world, self.conn, await self.block(), applied=True, indexed=True))
            result = found[-1]
            say(
                f"search: {result.events / result.indexed_s:,.0f} events/s indexed, applied at "
                f"{result.events / result.applied_s:,.0f}/s {costs(result.cpu_us)}"
            )
        self.report.line(
            f"events/s: … → Faust → Elasticsearch, {workers(_SOME)} and an indexer",
            [r.events / r.indexed_s for r in found],
        )
        self.report.cost(f"catching up, {workers(_SOME)} and an indexer", found)

    async def http(self) -> None:
        """What one API process carries beside all the rest."""
        port = free_port()
        api = self.world.start("api", "--port", str(port))
        await until(lambda: answers(port), "the API answers", 0.1)
        rates, worst = [], []
        for _ in range(ROUNDS):
            command = [sys.executable, "-m", "benchmarks.http_load", "--port", str(port), "--key", KEY]
            command += ["--seconds", str(SECONDS)]
            done = await asyncio.to_thread(subprocess.run, command, check=True, capture_output=True, text=True)
            told = json.loads(done.stdout)
            rates.append(told["per_second"])
            worst.append(told["p95_ms"])
            say(f"http: {told}")
        self.world.end(api)
        self.report.line(
            f"creates/s over HTTP, one API process, concurrency 64 (p95 {statistics.median(worst):g} ms)",
            rates,
            target=f"≥ {RATE:,}",
            met=statistics.median(rates) >= RATE,
            peers="graphile-worker 1,620 · River 4,550 · procrastinate 2,057 · Quartz 934",
        )

    async def hand_over(self) -> None:
        """One of the workers ends, by request or at once."""
        rate = DUE_RATE
        for number, how, bound_s in ((signal.SIGTERM, "stopped gracefully", 2.0), (signal.SIGKILL, "killed", 6.0)):
            found = []
            for _ in range(ROUNDS):
                await self.world.have_workers(_SOME + 1, self.conn)
                found.append(await lines.hand_over(self.world, self.conn, self.load, rate, number))
                say(f"{how}: {found[-1]}")
            lost = sum(r.lost for r in found)
            self.report.line(
                f"s until the next fire on a shard of a worker that was {how} ({rate}/s, {_SOME + 1} workers)",
                [r.next_s for r in found],
                form="{:.3f}",
            )
            every = [r.every_s for r in found]
            self.report.line(
                "  … until each of its shards had fired",
                every,
                target=f"< {bound_s:g}",
                met=max(every) < bound_s,
                form="{:.2f}",
            )
            late = [r.late_s for r in found]
            self.report.line(
                f"  … worst lateness on its shards; lost: {lost}",
                late,
                target=f"< {bound_s:g}; 0 lost",
                met=max(late) < bound_s and not lost,
                form="{:.2f}",
            )


def workers(count: int) -> str:
    """In words."""
    return "1 worker" if count == 1 else f"{count} workers"


def say(text: str) -> None:
    """Tell how it goes."""
    console.print(f"  {time.strftime('%X')} {text}", style="dim", highlight=False)


def costs(cpu_us: dict[str, float]) -> str:
    """µs CPU each, in short."""
    return "CPU µs each: " + each(cpu_us)


def lag_of(ordered: list[float]) -> str:
    """In short."""
    return " ".join(f"p{share * 100:g} {lines.percentile(ordered, share):.3f} s" for share in (0.5, 0.99, 1.0))


def each_of(cores: dict[str, float]) -> str:
    """Cores by kind of process, in short."""
    return ", ".join(f"{kind} {used:.2f}" for kind, used in cores.items() if used >= 0.005)


def free_port() -> int:
    """Of this machine."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


async def answers(port: int) -> bool:
    """Whether an API is there and ready to work."""
    try:
        async with httpx.AsyncClient() as client:
            return (await client.get(f"http://127.0.0.1:{port}/healthz")).status_code == 200
    except httpx.TransportError:
        return False


async def main() -> None:
    """Run all parts, and print what was found."""
    this = asyncio.current_task()
    assert this is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    load_before = os.getloadavg()[0]
    begin = time.monotonic()
    say("starting PostgreSQL, Kafka and Elasticsearch …")
    with World() as world:
        conn = await lines.connect(world)
        world.start("relay")
        async with lines.Load(world) as load:
            bench = Bench(world, conn, load)
            if "relay" in PARTS:
                await bench.relay()
            if "scaling" in PARTS:
                await bench.scaling()
            await world.have_workers(_SOME, conn)
            if "lag" in PARTS:
                await bench.lag(indexed=False)
            if "handover" in PARTS:
                await bench.hand_over()
                await world.have_workers(_SOME, conn)
            if "search" in PARTS:
                await bench.search()
                if "lag" in PARTS:
                    await bench.lag(indexed=True)
            if "http" in PARTS:
                await bench.http()
            sizes = await measure_sizes(world, conn)
        await conn.close()
    bench.report.show(console)
    for what, text in sizes:
        console.print(f"  {what}: {text}", highlight=False)
    took = (time.monotonic() - begin) / 60
    console.print(
        f"\n{took:.1f} min; {os.cpu_count()} cores; load average {load_before:.1f} before and "
        f"{os.getloadavg()[0]:.1f} after, most of the latter our own."
    )


if __name__ == "__main__":
    asyncio.run(main())
