"""Run histories by hand: `python -m tests.simulation SEED`, or `python -m tests.simulation --from 0 --count 100`."""

from __future__ import annotations

import argparse
import sys
import time

from tests.simulation.history import run


def main() -> int:
    """Exit status 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seed", nargs="?", help="one seed, told in full")
    parser.add_argument("--from", dest="first", type=int, default=0)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--until-broken", action="store_true", help="end with the first that breaks a promise")
    asked = parser.parse_args()
    if asked.seed is not None:
        result = run(asked.seed, tracing=True)
        print("\n".join(result.trace))
        print(result.broken or "every promise kept", result.verdict, f"{len(result.faults)} faults")
        return 1 if result.broken else 0
    broken, began = 0, time.process_time()
    faults = gates = slots = steps = 0
    for number in range(asked.first, asked.first + asked.count):
        result = run(str(number))
        faults, gates, steps = faults + len(result.faults), gates + result.gates, steps + result.steps
        slots += result.verdict.slots
        if result.broken:
            broken += 1
            print(f"seed {number}: {result.broken}", flush=True)
            if asked.until_broken:
                break
    print(
        f"{asked.count} histories, {broken} broken, {steps} steps, {gates} gates, {faults} faults, {slots} slots, "
        f"{time.process_time() - began:.1f} s of CPU"
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
