"""What many histories came to together, and what must hold of them beside the promises.

Place in the simulation: the end. Ranges of seeds may be lived through apart and added up: `kept` and `Sum.plus`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from horae.domain import occurrence as o
from tests.simulation.history import Result, run


@dataclass
class Sum:
    """What many histories came to."""

    histories: int = 0
    steps: int = 0
    fewest_steps: int = 1 << 60
    faults: int = 0
    slots: int = 0
    delivered: int = 0
    #: Histories in which nothing could happen.
    idle: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)

    def add(self, result: Result) -> None:
        self.histories += 1
        self.steps += result.steps
        self.fewest_steps = min(self.fewest_steps, result.steps)
        self.faults += len(result.faults)
        self.slots += result.verdict.slots
        self.delivered += result.verdict.delivered
        self.idle += result.verdict.slots == 0
        self.kinds.update(result.kinds)
        self.outcomes.update(result.verdict.outcomes)
        if result.broken is not None:
            self.broken.append(f"seed {result.seed}: {result.broken}")

    def report(self) -> str:
        kinds = ", ".join(f"{count} {name}" for name, count in self.kinds.most_common())
        outcomes = ", ".join(f"{count} {name}" for name, count in self.outcomes.most_common())
        return (
            f"{self.histories} histories of {self.steps // max(1, self.histories)} steps on average, at least "
            f"{self.fewest_steps}; {self.faults} faults ({kinds}); "
            f"{self.slots} slots due, outcomes: {outcomes}; {len(self.broken)} broken"
        )

    def assert_kept(self, faults_each: int) -> None:
        """Every promise, and progress: what was asked for happened, and enough went wrong meanwhile."""
        assert self.broken == []
        assert self.fewest_steps >= 200
        assert self.faults >= faults_each * self.histories
        assert self.idle <= self.histories // 20
        assert self.delivered >= 4 * self.histories
        # No kind of trouble, and no way to end, is left out.
        assert set(self.kinds) >= {
            "slow", "crash", "pause", "jump", "lost request", "lost acknowledgement", "late", "busy", "unreachable",
            "delayed", "repeated", "cut short", "cut", "database crash", "lock lost", "lost response", "slow receiver",
            "429", "410", "500", "channel bug",
        }  # fmt: skip
        assert set(self.outcomes) >= {outcome.value for outcome in o.Outcome} - {"suppressed"}

    # --- ranges ---

    def plus(self, other: Sum) -> None:
        """Add what other histories came to."""
        self.histories += other.histories
        self.steps += other.steps
        self.fewest_steps = min(self.fewest_steps, other.fewest_steps)
        self.faults += other.faults
        self.slots += other.slots
        self.delivered += other.delivered
        self.idle += other.idle
        self.kinds.update(other.kinds)
        self.outcomes.update(other.outcomes)
        self.broken += other.broken

    @classmethod
    def of(cls, seeds: range, each: Callable[[Result], None] = lambda _: None) -> Self:
        """Live through these; `each` is told of every one."""
        total = cls()
        for seed in seeds:
            result = run(str(seed))
            total.add(result)
            each(result)
        return total


def kept(file: Path, seeds: range, step: int) -> Iterator[tuple[range, Sum]]:
    """The sums of `seeds` in ranges of `step`, in order: read from `file`, or lived through and written there.

    So a long run can be broken off and goes on where it was. Ranges of other steps in the file are not looked at.
    """
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    done = {(said.pop("first"), said["histories"]): said for said in map(json.loads, lines)}
    for first in range(seeds.start, seeds.stop, step):
        part = range(first, min(first + step, seeds.stop))
        said = done.get((first, len(part)))
        if said is None:
            total = Sum.of(part)
            with file.open("a", encoding="utf-8") as out:
                out.write(json.dumps({"first": first, **vars(total)}) + "\n")
        else:
            counted = {name: Counter(said[name]) for name in ("kinds", "outcomes")}
            total = Sum(**{name: counted.get(name, said[name]) for name in Sum.__dataclass_fields__})
        yield part, total
