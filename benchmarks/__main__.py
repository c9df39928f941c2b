"""`make bench`: what this machine carries, real HTTP and real PostgreSQL, beside the targets and the peers' figures.

First what the next slot of each kind of timing costs (`timings`), then one running service with so many schedules
pending, years away, on which the lines are measured (`lines`): a round of each, then another of each, as long as the
time lasts. Load comes from processes of its own. The median of the rounds counts; a missed target is marked, and stays
in the table, and so does a line for which there was no time.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import timings
from benchmarks.figures import Budget, Row
from benchmarks.firing import fill
from benchmarks.lines import NAMES, table_of
from benchmarks.rounds import Bench, receiver
from benchmarks.service import Service


def show(console: Console, title: str, rows: list[Row]) -> None:
    """Print the table."""
    table = Table(title=title, show_lines=False, row_styles=("", "dim"))
    for column in ("what", "Horae: median (rounds)", "target", "", "peers, one run each on a comparable machine"):
        table.add_column(column)
    for row in rows:
        style = "bold red" if row.verdict == "MISSED" else None
        table.add_row(row.what, row.shown(), row.target, row.verdict, row.peers, style=style)
    console.print(table)


def machine() -> str:
    """What it is measured on, and how busy that is."""
    load = os.getloadavg()
    return f"{os.cpu_count()} cores, load average {load[0]:.1f} {load[1]:.1f} {load[2]:.1f}"


def measure(bench: Bench, chosen: Sequence[str], rounds: int, budget: Budget, say: Callable[[str], None]) -> None:
    """A round of each line, then another of each, as far as the budget goes. One that fails is not repeated."""
    begin = time.monotonic()
    for number in range(rounds):
        for name in chosen:
            since = time.monotonic()
            if name in bench.seen.failed or not budget.allows(name, bench.expected_s(name), since - begin):
                continue
            say(f"[bold]{name}[/bold], round {number + 1} of {rounds}, about {bench.expected_s(name):,.0f} s")
            try:
                say(bench.round(name))
            except SystemExit as failure:
                bench.seen.failed.setdefault(name, []).append(str(failure).strip().splitlines()[-1])
                say(f"[bold red]{failure}[/bold red]")
            budget.took_s[name] = time.monotonic() - since
    bench.look_again()


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    every = ("timings", *NAMES)
    parser.add_argument("--only", nargs="+", choices=every, default=every, metavar="LINE", help=" ".join(every))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20, help="of each round of dispatch")
    parser.add_argument("--pending", type=int, default=100_000, help="schedules that wait for years meanwhile")
    parser.add_argument("--minutes", type=float, default=15, help="no round begins that would end later")
    args = parser.parse_args()
    console = Console(width=None if os.isatty(1) else 200)
    begin = time.monotonic()

    def say(text: str) -> None:
        console.print(f"[dim]{time.monotonic() - begin:6.0f} s[/dim]  {text}", highlight=False)

    say(f"{machine()}; about {args.minutes:g} minutes")
    if "timings" in args.only:
        timings.report(console)
    chosen = [name for name in NAMES if name in args.only]
    if not chosen:
        return
    folder = Path(tempfile.mkdtemp(prefix="horae-bench-"))
    service = Service(folder, "--allow-private-targets")
    try:
        with receiver() as hook:
            bench = Bench(service, hook, args.seconds)
            if args.pending:
                say(f"asking for {args.pending:,} schedules that wait …")
                filled = fill(service, args.pending)
                bench.firing.pace = args.pending / filled.applied_s
                say(f"  {filled.count / filled.stored_s:,.0f} stored, {bench.firing.pace:,.0f} applied a second")
            bench.warm_up()
            budget = Budget(60 * args.minutes - (time.monotonic() - begin))
            try:
                measure(bench, chosen, args.rounds, budget, say)
            except KeyboardInterrupt:
                say("broken off; what there is:")
    finally:
        service.stop()
        shutil.rmtree(folder, ignore_errors=True)
    rows = table_of(bench.seen, chosen)
    show(console, f"medians of up to {args.rounds} rounds, at least {args.pending:,} schedules pending", rows)
    if budget.left_out:
        left_out = ", ".join(f"{name} {count}" for name, count in budget.left_out.items())
        console.print(f"Rounds left out for want of time: {left_out}. Give more --minutes, or fewer --seconds.")
    verdicts = [row.verdict for row in rows]
    told = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in ("met", "MISSED", "not measured"))
    console.print(f"{told}; {(time.monotonic() - begin) / 60:.1f} minutes; {machine()}")


if __name__ == "__main__":
    main()
