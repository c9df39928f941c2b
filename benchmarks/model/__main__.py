"""`make bench-model`: runs every strategy through every world, and prints engagement and the share of the gap closed.

Tuning first chooses each strategy's one number on another seed; then the reported seeds are run. Intervals are
Student's t over seeds, of which each is another population with other luck.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.model.days import People, Strategy, live, people_of
from benchmarks.model.horae import Horae
from benchmarks.model.strategies import SETTINGS, FixedNine
from horae.domain.learning.calibration import expected_calibration_error
from horae.domain.learning.choice import Rules
from tests.simulation.world.running import World
from tests.simulation.world.spec import STRONG, STRONG_SILENT, WORLDS, WorldSpec

TUNING_SEED: Final = 100
FIRST_SEED: Final = 1
HORAE_MARGINS: Final = (0.01, 0.02, 0.03, 0.05)
T_95: Final = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36, 9: 2.31, 10: 2.26}

Maker = Callable[[People], Strategy]


def oracle(world: World) -> float:
    """What the best moments would have brought, on average, after the same history."""
    total, messages = 0.0, 0
    for day in range(world.days):
        calls = world.calls(day)
        judged = day >= world.spec.history_days
        chance = world.send(calls, world.best_minutes(calls) if judged else world.house_minutes(calls)).chance
        total += float(chance.sum()) * judged
        messages += len(calls.who) * judged
    return total / messages


def _make(kind: Callable[[People, float], Strategy], setting: float, people: People) -> Strategy:
    return kind(people, setting)


def tuned(people: int) -> dict[str, Maker]:
    """Each strategy with the number that was best on the tuning seed, in the two strong worlds."""
    makers: dict[str, list[Maker]] = {
        name: [partial(_make, kind, value) for value in values] for name, kind, values in SETTINGS
    }
    makers[Horae.name] = [partial(Horae, rules=Rules(margin=margin)) for margin in HORAE_MARGINS]
    worlds = [World(replace(spec, people=people), TUNING_SEED) for spec in (STRONG, STRONG_SILENT)]
    best: dict[str, Maker] = {}
    for name, candidates in makers.items():
        scores = [sum(live(w.again(), make(people_of(w))).mean() for w in worlds) for make in candidates]
        best[name] = candidates[int(np.argmax(scores))]
        print(f"tuned {name}: number {int(np.argmax(scores)) + 1} of {len(candidates)}", flush=True)
    return best


def interval(values: list[float]) -> str:
    """Mean and the half-width of its 95 % interval."""
    half = T_95[len(values)] * float(np.std(values, ddof=1)) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return f"{np.mean(values):.4f} ± {half:.4f}"


def judge(spec: WorldSpec, makers: dict[str, Maker], seeds: range, console: Console) -> None:
    """One world: all strategies on all seeds, then its table."""
    means: dict[str, list[float]] = {name: [] for name in makers}
    best: list[float] = []
    unsure, ece = [], []
    for seed in seeds:
        world = World(spec, seed)
        best.append(oracle(world.again()))
        for name, make in makers.items():
            strategy = make(people_of(world))
            result = live(world.again(), strategy)
            means[name].append(result.mean())
            if isinstance(strategy, Horae):
                unsure.append(float(np.mean(np.concatenate([c.confidence for c in strategy.log.choices]) < 0.7)))
                foretold, came = np.concatenate(strategy.log.foretold), np.concatenate(result.answered)
                ece.append(expected_calibration_error(foretold, came))
    nine = np.array(means[FixedNine.name])
    table = Table(title=f"{spec.name}: oracle {interval(best)}", title_justify="left")
    for column in ("strategy", "engagement per message", "over 9:00", "share of the gap closed"):
        table.add_column(column)
    for name, values in means.items():
        closed = list((np.array(values) - nine) / (np.array(best) - nine))
        gap = interval(closed) if spec.amplitude else "no gap"
        table.add_row(name, interval(values), f"{np.mean(np.array(values) / nine - 1):+.1%}", gap)
    console.print(table)
    console.print(
        f"Horae: decisions below the threshold {np.mean(unsure):.1%}; ECE {np.mean(ece):.4f} (worst {max(ece):.4f})\n"
    )
    sys.stdout.flush()


def main() -> None:
    """Read the options, tune, judge, say how long it took."""
    parser = argparse.ArgumentParser(prog="make bench-model", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--people", type=int, default=1500)
    parser.add_argument("--worlds", default="", help="names, separated by semicolons; all by default")
    options = parser.parse_args()
    chosen = [w for w in WORLDS if not options.worlds or w.name in options.worlds.split(";")]
    started, console = time.process_time(), Console(width=120)
    makers = tuned(min(options.people, 300))
    for spec in chosen:
        seeds = range(FIRST_SEED, FIRST_SEED + options.seeds)
        judge(replace(spec, people=options.people), makers, seeds, console)
    console.print(f"{options.people} people, {options.seeds} seeds, {time.process_time() - started:.0f} s of CPU")


if __name__ == "__main__":
    main()
