"""The lines of the table: what was measured, its rounds, the target, and what peers say of themselves."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from benchmarks.stack.lines import CatchUp

_ORDER = ("relay", "worker", "indexer", "PostgreSQL", "Kafka", "Elasticsearch")


@dataclass(slots=True)
class Report:
    """What a run found."""

    rounds: int
    rows: list[tuple[str, str, str, str, str]] = field(default_factory=list)
    #: What was done -> µs CPU an event (or a fire) by kind of process, of each round.
    costs: dict[str, Sequence[Mapping[str, float]]] = field(default_factory=dict)

    def line(
        self,
        what: str,
        rounds: Sequence[float],
        *,
        target: str = "",
        met: bool | None = None,
        peers: str = "",
        form: str = "{:,.0f}",
    ) -> None:
        """One line: the median, and the rounds if there are several."""
        shown = form.format(statistics.median(rounds))
        if len(rounds) > 1:
            shown += f"  ({' '.join(form.format(one) for one in rounds)})"
        verdict = "" if met is None else ("met" if met else "MISSED")
        self.rows.append((what, shown, target, verdict, peers))

    def cost(self, what: str, rounds: Sequence[CatchUp]) -> None:
        """CPU of each event."""
        self.costs[what] = [one.cpu_us for one in rounds]

    def show(self, console: Console) -> None:
        """Print both tables."""
        table = Table(title=f"stack profile: medians of up to {self.rounds} rounds (the rounds)", show_lines=True)
        for column in ("what", "Horae", "target", "", "peers, published or raced on a comparable machine"):
            table.add_column(column)
        for row in self.rows:
            table.add_row(*row)
        console.print(table)
        table = Table(title="CPU in µs for each event, or for each fire with all that follows; medians")
        for column in ("while", *_ORDER):
            table.add_column(column, justify="left" if column == "while" else "right")
        for what, rounds in self.costs.items():
            table.add_row(what, *(_median(rounds, kind) for kind in _ORDER))
        console.print(table)


def each(values: Mapping[str, float]) -> str:
    """By kind of process, in short."""
    return ", ".join(f"{kind} {values[kind]:.0f}" for kind in (*_ORDER, "api") if values.get(kind, 0) >= 0.5)


def _median(rounds: Sequence[Mapping[str, float]], kind: str) -> str:
    found = statistics.median(one.get(kind, 0.0) for one in rounds)
    return f"{found:,.0f}" if found >= 0.5 else ""
