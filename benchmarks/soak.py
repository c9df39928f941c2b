"""`python -m benchmarks.soak`: so many creates and as many fires a second for an hour, and what grows meanwhile.

Each schedule that is asked for is due a minute later, so that after a minute as many come due as are asked for. Every
`--window` seconds: creates carried and their latency, lateness of what was released, memory of each kind of process,
and size, dead rows and vacuums of the tables that turn over. The series are printed and kept as a CSV file; then it is
judged whether they are flat: the median of the last quarter of the hour against that of the second.

Ends with 1 if something was lost or doubled, or grew.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.__main__ import machine
from benchmarks.children import Child
from benchmarks.figures import Flat, flatness, percentile
from benchmarks.firing import LogFile
from benchmarks.service import KEY, Connection, Service, memory_of

_MB = 1_000_000
_DUE_IN_S = 60
_DRAIN_S = 120.0
#: The tables whose rows come and go, or are written anew: here bloat would show.
_TURNING = ("due", "standings", "positions")

_TABLES = """
SELECT s.relname AS name, s.n_live_tup AS live, s.n_dead_tup AS dead, s.autovacuum_count AS vacuums,
    pg_total_relation_size(s.relid) AS bytes
FROM pg_stat_user_tables AS s WHERE s.schemaname = 'read' AND s.relname = ANY ($1)
"""
_ASKED = "SELECT count(*) FROM log.events WHERE topic = 'schedule.created.v1'"
_ENDED = "SELECT count(*) FROM log.events WHERE topic = 'occurrence.ended.v1'"


@dataclass(frozen=True, slots=True)
class Window:
    """What was seen in one stretch; memory and tables at its end."""

    minute: float
    creates_per_second: float
    errors: int
    create_p95_ms: float
    fires_per_second: float
    late_p50_ms: float
    late_p99_ms: float
    late_max_ms: float
    api_mb: float
    worker_mb: float
    horae_mb: float
    due_kb: float
    due_dead: int
    due_vacuums: int
    standings_bytes_each: float
    standings_dead_share: float
    standings_vacuums: int
    positions_kb: float


#: What must not grow: the column, by which factor it may, what it may besides, and why.
JUDGED: Sequence[tuple[str, float, float, str]] = (
    ("horae_mb", 1.10, 5, "memory of all Horae processes"),
    ("worker_mb", 1.10, 5, "memory of the workers"),
    ("api_mb", 1.10, 5, "memory of the API"),
    ("late_p99_ms", 1.25, 10, "lateness"),
    ("create_p95_ms", 1.25, 10, "latency of creates"),
    ("due_kb", 1.25, 1_000, "the due index with its dead rows"),
    ("positions_kb", 1.25, 500, "the positions with their dead rows"),
    ("standings_bytes_each", 1.15, 0, "bytes of a standing, its indices and dead rows"),
)


def judged(windows: Sequence[Window]) -> list[tuple[str, Flat]]:
    """Each series that is asked to be flat."""
    return [
        (what, flatness([float(getattr(window, column)) for window in windows], factor, slack))
        for column, factor, slack, what in JUDGED
    ]


def window_of(
    minute: float,
    seconds: float,
    created: Mapping[str, Any],
    releases: Sequence[Mapping[str, Any]],
    memory_mb: Mapping[str, float],
    tables: Mapping[str, Mapping[str, Any]],
) -> Window:
    """Put one stretch together; `releases` are the lines of `releases.ndjson` that were written in it."""
    late_ms = [
        (datetime.fromisoformat(line["released_at"]) - datetime.fromisoformat(line["due_at"])).total_seconds() * 1000
        for line in releases
    ]
    due, standings, positions = (tables[name] for name in _TURNING)
    rows = standings["live"] + standings["dead"]
    return Window(
        minute=round(minute, 1),
        creates_per_second=created["per_second"],
        errors=created["errors"],
        create_p95_ms=created["p95_ms"],
        fires_per_second=round(len(late_ms) / seconds, 1),
        late_p50_ms=round(percentile(late_ms, 0.5), 1),
        late_p99_ms=round(percentile(late_ms, 0.99), 1),
        late_max_ms=round(max(late_ms, default=0.0), 1),
        api_mb=round(memory_mb["api"], 1),
        worker_mb=round(memory_mb["worker"], 1),
        horae_mb=round(memory_mb["horae"], 1),
        due_kb=due["bytes"] / 1000,
        due_dead=due["dead"],
        due_vacuums=due["vacuums"],
        standings_bytes_each=round(standings["bytes"] / max(1, standings["live"]), 1),
        standings_dead_share=round(standings["dead"] / max(1, rows), 3),
        standings_vacuums=standings["vacuums"],
        positions_kb=positions["bytes"] / 1000,
    )


async def _tables(conn: Connection) -> dict[str, dict[str, Any]]:
    return {row["name"]: dict(row) for row in await conn.fetch(_TABLES, list(_TURNING))}


async def soak(
    service: Service, args: argparse.Namespace, console: Console, windows: list[Window]
) -> tuple[int, int, int]:
    """The hour; fills the windows, and gives how many were asked for, released and doubled."""
    seen: set[str] = set()
    log, double, last_position = LogFile(service), 0, 0

    def take() -> list[dict[str, Any]]:
        nonlocal double
        lines = log.take()
        for line in lines:
            double += line["occurrence_id"] in seen
            seen.add(line["occurrence_id"])
        return lines

    conn = await service.connect()
    begin = last = time.monotonic()
    options = ("--rate", args.rate, "--seconds", args.minutes * 60, "--window", args.window, "--due-in", _DUE_IN_S)
    with Child("benchmarks.http_load", "--port", service.port, "--key", KEY, *options) as child:
        lines = child.lines(args.minutes * 60 + 120)
        while created := await asyncio.to_thread(next, lines, None):
            last_position = max(last_position, created["last_position"])
            if created.get("whole"):
                break
            now = time.monotonic()
            memory_mb = {kind: memory.proportional / _MB for kind, memory in memory_of(service.pid).items()}
            releases = await asyncio.to_thread(take)
            windows.append(window_of((now - begin) / 60, now - last, created, releases, memory_mb, await _tables(conn)))
            last = now
            console.print(_told(windows[-1]), highlight=False)
    deadline = time.monotonic() + _DUE_IN_S + _DRAIN_S
    service.settle(last_position)
    asked = int(await conn.fetchval(_ASKED))
    while len(seen) < asked and time.monotonic() < deadline:
        await asyncio.sleep(1)
        await asyncio.to_thread(take)
    ended = int(await conn.fetchval(_ENDED))
    await conn.close()
    console.print(f"asked for {asked:,}, released {len(seen):,}, ended {ended:,}, double {double}")
    return asked, min(len(seen), ended), double


def _told(window: Window) -> str:
    return (
        f"{window.minute:6.1f} min  {window.creates_per_second:,.0f} creates/s p95 {window.create_p95_ms:,.0f} ms, "
        f"{window.errors} errors; {window.fires_per_second:,.0f} fires/s p50 {window.late_p50_ms:,.0f} p99 "
        f"{window.late_p99_ms:,.0f} max {window.late_max_ms:,.0f} ms; {window.horae_mb:,.0f} MB (API "
        f"{window.api_mb:,.0f}, workers {window.worker_mb:,.0f}); due {window.due_kb:,.0f} kB, {window.due_dead:,} dead"
    )


def show(console: Console, windows: Sequence[Window], rows: int = 12) -> None:
    """About so many lines of the series, evenly spread."""
    table = Table(title="the series")
    for column in fields(Window):
        table.add_column(column.name.replace("_", " "), justify="right")
    step = max(1, len(windows) // rows)
    for window in windows[step - 1 :: step]:
        table.add_row(*(f"{value:,g}" for value in asdict(window).values()))
    console.print(table)


def main() -> None:
    """Soak, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=500, help="creates a second, and fires")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--window", type=float, default=30, help="seconds")
    parser.add_argument("--csv", type=Path, default=Path("soak.csv"), help="where the series go")
    args = parser.parse_args()
    console = Console(width=None if os.isatty(1) else 220)
    console.print(f"{args.rate:g} creates and fires a second for {args.minutes:g} minutes; {machine()}")
    folder = Path(tempfile.mkdtemp(prefix="horae-soak-"))
    service = Service(folder)
    windows: list[Window] = []
    bad: list[str] = []
    try:
        asked, released, double = asyncio.run(soak(service, args, console, windows))
        bad += [f"lost {asked - released}"] if asked != released else []
        bad += [f"double {double}"] if double else []
    except (SystemExit, KeyboardInterrupt) as failure:
        bad.append(f"broken off: {failure or 'by hand'}")
    finally:
        service.stop()
        shutil.rmtree(folder, ignore_errors=True)
    with args.csv.open("w", newline="") as file:
        writer = csv.DictWriter(file, [column.name for column in fields(Window)])
        writer.writeheader()
        writer.writerows(asdict(window) for window in windows)
    show(console, windows)
    for what, flat in judged(windows):
        verdict = "flat" if flat.flat else "GREW"
        bad += [] if flat.flat else [what]
        console.print(f"{verdict}: {what}, {flat.early:,.1f} → {flat.late:,.1f} ({flat.growth:+.1%})", highlight=False)
    errors = sum(window.errors for window in windows)
    console.print(f"{errors} errors; the series are in {args.csv}; {machine()}")
    if bad or errors:
        console.print(f"[bold red]{'; '.join(bad) or 'errors'}[/bold red]")
        sys.exit(1)


if __name__ == "__main__":
    main()
