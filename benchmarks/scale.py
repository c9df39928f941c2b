"""`make bench-scale`: how cost grows with the number of schedules that wait, and with the shards that a load falls on.

One service is filled further and further (`--schedules 10000 100000 1000000`, or on to 10000000), and at each size
measured: memory of all Horae processes without PostgreSQL, bytes on disk for each schedule, creates, dispatch on `log:`
in the first 1, 4, 16 and all 64 shards, and the time from a start to the first dispatch. With `--data DIR` the
installation stays there, so that a later run can go on from it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.__main__ import machine, show
from benchmarks.children import Child
from benchmarks.figures import Fired, Row, at_most
from benchmarks.firing import Firing, LogFile, described, fill
from benchmarks.lines import DISPATCH_PEERS, FIRES
from benchmarks.service import KEY, Memory, Service, memory_of

_MB = 1_000_000
_SIZES = (10_000, 100_000, 1_000_000)
_SHARDS = (1, 4, 16, 64)
_CREATE_S = 8
_COLD_S = 90.0
#: Sizes of which the targets speak.
_ASKED = (1_000_000, 10_000_000)
_BYTES_PEERS = "graphile-worker 541 · River 644 · procrastinate 734 · Quartz 807 · Temporal 15,600, without a history"

_WAITING = "SELECT count(*) FROM read.due"
_BY_TABLE = """
SELECT n.nspname || '.' || c.relname AS name, pg_total_relation_size(c.oid) AS bytes
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname IN ('log', 'read')
"""


def bytes_each(before: Mapping[str, int], after: Mapping[str, int], waited: int, wait: int) -> dict[str, float]:
    """By table, what each of the schedules takes that were added; of all if at least half waited before.

    What was added tells the truth: the whole also holds what the measuring before has left.
    """
    added = wait - waited
    if added < wait / 2:
        return {name: size / max(waited, wait) for name, size in after.items()}
    return {name: (size - before.get(name, 0)) / added for name, size in after.items()}


@dataclass
class Size:
    """What was seen with so many schedules waiting."""

    schedules: int
    stored_per_second: float = 0.0
    applied_per_second: float = 0.0
    memory: dict[str, Memory] = field(default_factory=dict)
    #: Bytes by table, with its indices, of each schedule that this size added; of all that wait if it added few.
    bytes_by_table: dict[str, float] = field(default_factory=dict)
    creates_per_second: float = 0.0
    #: By the number of shards that the load falls on.
    fired: dict[int, list[Fired]] = field(default_factory=dict)
    cold_s: list[float] = field(default_factory=list)

    @property
    def bytes_each(self) -> float:
        """All tables, indices and the events, for each schedule."""
        return sum(self.bytes_by_table.values())

    def bytes_in(self, schema: str) -> float:
        """Those of `log` or of `read`."""
        return sum(each for table, each in self.bytes_by_table.items() if table.startswith(f"{schema}."))

    def p99_ms(self, shards: int) -> float:
        """The median of the rounds."""
        return statistics.median(fired.ms(0.99) for fired in self.fired[shards])


class Scale:
    """One run on one service, which grows."""

    def __init__(self, service: Service, args: argparse.Namespace, say: Callable[[str], None]) -> None:
        self.service, self.args, self.say = service, args, say
        self.firing = Firing(service)

    def measure(self, schedules: int) -> Size:
        """Fill up to so many, and see."""
        size = Size(schedules)
        waiting, before = asyncio.run(self._fetchval(_WAITING)), asyncio.run(self._tables())
        self._fill(size, waiting)
        time.sleep(5)  # what was still being done is done
        size.bytes_by_table = bytes_each(before, asyncio.run(self._tables()), waiting, schedules)
        largest = sorted(size.bytes_by_table.items(), key=lambda item: -item[1])[:6]
        tables = ", ".join(f"{name} {bytes_:,.0f}" for name, bytes_ in largest)
        self.say(f"  {size.bytes_each:,.0f} bytes on disk for each schedule: {tables}")
        generator = ("--port", self.service.port, "--key", KEY, "--seconds", _CREATE_S)
        with Child("benchmarks.http_load", *generator) as child:
            created = child.result(_CREATE_S + 90)
        self.service.settle(created["last_position"])
        size.creates_per_second = created["per_second"]
        self.say(f"  creates: {created}")
        for shards in self.args.shards:
            size.fired[shards] = []
            for _ in range(self.args.rounds if shards == 64 else 1):
                seconds = self.args.seconds if shards == 64 else self.args.seconds / 2
                total = int(self.args.rate * seconds)
                fired = self.firing.run(LogFile(self.service), total, self.args.rate, shards=shards)
                size.fired[shards].append(fired)
                self.say(f"  {self.args.rate:,}/s in {shards} shards: {described(fired)}")
        size.memory = memory_of(self.service.pid)
        self.say("  memory: " + ", ".join(f"{kind} {_mb(memory)}" for kind, memory in size.memory.items()))
        for _ in range(self.args.rounds):
            size.cold_s.append(self._cold())
            self.say(f"  cold start to first dispatch: {size.cold_s[-1]:.2f} s")
        return size

    def _fill(self, size: Size, waiting: int) -> None:
        missing = size.schedules - waiting
        if missing <= 0:
            self.say(f"{waiting:,} schedules wait already")
            return
        minutes = missing / self.firing.pace / 60
        self.say(f"{waiting:,} schedules wait; asking for {missing:,} more, which takes about {minutes:.0f} minutes")
        begin = last = time.monotonic()

        def told(asked: int) -> None:
            nonlocal last
            if time.monotonic() - last > 30:
                last = time.monotonic()
                self.say(f"  {asked:,} stored, {asked / (last - begin):,.0f}/s")

        filled = fill(self.service, missing, told, prefix=f"user-{waiting}")
        size.stored_per_second = missing / filled.stored_s
        size.applied_per_second = missing / filled.applied_s
        self.firing.pace = size.applied_per_second
        self.say(f"  {size.stored_per_second:,.0f} stored, {size.applied_per_second:,.0f} applied a second")

    async def _fetchval(self, query: str) -> int:
        conn = await self.service.connect()
        try:
            found: int = await conn.fetchval(query, timeout=600)
            return found
        finally:
            await conn.close()

    async def _tables(self) -> dict[str, int]:
        conn = await self.service.connect()
        try:
            return {row["name"]: row["bytes"] for row in await conn.fetch(_BY_TABLE, timeout=600)}
        finally:
            await conn.close()

    def _cold(self) -> float:
        """Stop; start when something has come due meanwhile; seconds from the start to its release."""
        log = LogFile(self.service)
        due = datetime.now(UTC) + timedelta(seconds=5)
        body = {"recipient": "cold", "channel": "log:", "timing": {"kind": "at", "at": due.isoformat()}}
        self.service.client.post("/v1/schedules", json=body).raise_for_status()
        self.service.stop()
        time.sleep(max(0.0, (due - datetime.now(UTC)).total_seconds()))
        began, since = datetime.now(UTC), time.monotonic()
        self.service.spawn()
        while not log.count() and time.monotonic() - since < _COLD_S:
            time.sleep(0.05)
        released = [datetime.fromisoformat(line["released_at"]) for line in log.take()]
        self.service.await_ready()
        return (min(released) - began).total_seconds() if released else float("inf")


def _mb(memory: Memory) -> str:
    return f"{memory.proportional / _MB:,.0f} MB ({memory.resident / _MB:,.0f})"


def growth(sizes: list[Size], rate: int) -> Table:
    """The table of cost by size and shards."""
    table = Table(title=f"how cost grows; dispatch at {rate:,}/s on log:, lateness p99 in ms")
    columns = ("schedules waiting", "stored/s", "applied/s", "bytes each: log", "read models", "Horae, MB", "RSS, MB")
    for column in (
        *columns,
        "creates/s",
        *(f"{shards} shards" for shards in sizes[0].fired),
        "faulty rounds",
        "cold start, s",
    ):
        table.add_column(column, justify="right")
    for size in sizes:
        memory = size.memory["horae"]
        table.add_row(
            f"{size.schedules:,}",
            f"{size.stored_per_second:,.0f}" if size.stored_per_second else "",
            f"{size.applied_per_second:,.0f}" if size.applied_per_second else "",
            f"{size.bytes_in('log'):,.0f}",
            f"{size.bytes_in('read'):,.0f}",
            f"{memory.proportional / _MB:,.0f}",
            f"{memory.resident / _MB:,.0f}",
            f"{size.creates_per_second:,.0f}",
            *(f"{size.p99_ms(shards):,.1f}" for shards in size.fired),
            f"{sum(not fired.whole for each in size.fired.values() for fired in each)}",
            f"{statistics.median(size.cold_s):.1f}",
        )
    return table


def rows_of(sizes: list[Size], rate: int) -> list[Row]:
    """The lines that have targets: at a million and at ten, or at the largest size if it is smaller."""
    asked = [size for size in sizes if size.schedules in _ASKED] or sizes[-1:]
    peers = DISPATCH_PEERS["log1000"] if rate == FIRES["log1000"] else ""
    rows = []
    for size in asked:
        what = f"{size.schedules:,} active schedules"
        memory = size.memory["horae"]
        rows += [
            Row(f"{what}: MB of all Horae processes", (memory.proportional / _MB,), target="< 300",
                good=lambda mb: mb < 300, beside=f"shared pages counted once; sum of RSS {memory.resident / _MB:,.0f}"),
            Row("  bytes on disk each", (size.bytes_each,), target="≤ 2,500", good=at_most(2_500), peers=_BYTES_PEERS),
            Row("  cold start to first dispatch, s", tuple(size.cold_s), "{:.1f}", "≤ 30", at_most(30)),
        ]  # fmt: skip
        if 64 in size.fired:
            found = size.fired[64]
            rows.append(
                Row(f"  dispatch at {rate:,}/s: lateness p99 ms", tuple(fired.ms(0.99) for fired in found), "{:,.1f}",
                    "≤ 50", at_most(50), clean=all(fired.whole and fired.in_time for fired in found),
                    beside=f"{sizes[0].p99_ms(64):,.1f} with {sizes[0].schedules:,}", peers=peers)
            )  # fmt: skip
    return rows


def main() -> None:
    """Grow, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schedules", type=int, nargs="+", default=_SIZES, metavar="N")
    parser.add_argument("--shards", type=int, nargs="+", default=_SHARDS, metavar="N")
    parser.add_argument("--rate", type=int, default=1_000, help="fires a second")
    parser.add_argument(
        "--seconds", type=float, default=20, help="of each round of dispatch in all shards; in fewer half"
    )
    parser.add_argument(
        "--rounds", type=int, default=3, help="in all 64 shards, and of cold starts; of fewer shards one"
    )
    parser.add_argument("--data", type=Path, help="keep the installation in this folder, or go on with it")
    args = parser.parse_args()
    console = Console(width=None if os.isatty(1) else 200)
    begin = time.monotonic()

    def say(text: str) -> None:
        console.print(f"[dim]{time.monotonic() - begin:6.0f} s[/dim]  {text}", highlight=False)

    say(machine())
    folder = args.data.absolute() if args.data else Path(tempfile.mkdtemp(prefix="horae-scale-"))
    sizes: list[Size] = []
    with contextlib.ExitStack() as stack:
        if args.data is None:
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        service = Service(folder)
        stack.callback(lambda: service.stop())
        scale = Scale(service, args, say)
        for schedules in sorted(args.schedules):
            say(f"[bold]{schedules:,} schedules[/bold]")
            try:
                sizes.append(scale.measure(schedules))
            except (SystemExit, KeyboardInterrupt) as failure:
                say(f"[bold red]{schedules:,} schedules came to nothing: {failure or 'broken off'}[/bold red]")
                break
    if not sizes:
        raise SystemExit("nothing was measured")
    console.print(growth(sizes, args.rate))
    show(console, f"medians of {args.rounds} rounds", rows_of(sizes, args.rate))
    console.print(f"{(time.monotonic() - begin) / 60:.1f} minutes; {machine()}")


if __name__ == "__main__":
    main()
