"""Run histories by hand: `python -m tests.simulation SEED`, or `python -m tests.simulation --from 0 --count 100`."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.simulation.history import run
from tests.simulation.summing import Sum, kept


def main() -> int:
    """Exit status 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seed", nargs="?", help="one seed, told in full")
    parser.add_argument("--from", dest="first", type=int, default=0)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--until-broken", action="store_true", help="end with the first that breaks a promise")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="note each range there, do none twice")
    parser.add_argument("--step", type=int, default=100, help="seeds of a range")
    asked = parser.parse_args()
    if asked.seed is not None:
        result = run(asked.seed, tracing=True)
        print("\n".join(result.trace))
        print(result.broken or "every promise kept", result.verdict, f"{len(result.faults)} faults")
        return 1 if result.broken else 0
    seeds = range(asked.first, asked.first + asked.count)
    began, total = time.process_time(), Sum()
    if asked.keep is not None:
        for part, some in kept(asked.keep, seeds, asked.step):
            total.plus(some)
            print(f"seeds {seeds.start} to {part.stop - 1}: {total.report()} {some.broken or ''}", flush=True)
        return 1 if total.broken else 0
    for seed in seeds:
        total.plus(Sum.of(range(seed, seed + 1)))
        if total.broken and total.broken[-1].startswith(f"seed {seed}: "):
            print(total.broken[-1], flush=True)
            if asked.until_broken:
                break
    print(f"{total.report()}, {time.process_time() - began:.1f} s of CPU")
    return 1 if total.broken else 0


if __name__ == "__main__":
    sys.exit(main())
