"""Prints the requirements ledger of the last test run: what is shown, what is not, and what nobody can tell.

A run that went on with another's ledger counts as one with it.

A row is *shown* when a test that claims it has passed, *failing* when such a test ran and none passed, *not run* when
its tests were left out or skipped, and *open* when no test claims it. Only a run that has seen every test file can call
a row open; after any other, the rest is *unknown*.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Final

from tests.plugins.catalogue import group_of, row_ids
from tests.plugins.ledger import LEDGER, Ledger

STATES: Final = ("shown", "failing", "not run", "open", "unknown")


def judge(rows: Iterable[str], ledger: Ledger) -> dict[str, str]:
    """The state of each row, one of `STATES`."""
    tests_of: dict[str, list[str]] = {}
    for test, claimed in ledger["claims"].items():
        for row in claimed:
            tests_of.setdefault(row, []).append(test)
    passed, failed = set(ledger["passed"]), set(ledger["failed"])

    def state(row: str) -> str:
        tests = tests_of.get(row, [])
        if any(test in passed for test in tests):
            return "shown"
        if any(test in failed for test in tests):
            return "failing"
        if ledger["files_not_seen"]:
            return "unknown"
        return "not run" if tests else "open"

    return {row: state(row) for row in rows}


def lines(rows: Iterable[str], ledger: Ledger) -> Iterator[str]:
    """The report, line by line: per group its counts, then the rows of each state."""
    states = judge(rows, ledger)
    for group, members in groupby(states, key=group_of):
        ids = list(members)
        shown = sum(states[row] == "shown" for row in ids)
        yield f"{group}: {shown} of {len(ids)} shown"
        for wanted in STATES:
            found = [row.partition("-")[2] for row in ids if states[row] == wanted]
            if found:
                yield f"  {wanted:<8}{len(found):>4}  {' '.join(found)}"
    yield ""
    counts = {wanted: sum(state == wanted for state in states.values()) for wanted in STATES}
    yield f"{len(states)} rows: " + ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    missing = ledger["files_not_seen"]
    if missing:
        seen = len(ledger["files"])
        yield (
            f"The last run saw {seen} of {seen + len(missing)} test files whole, "
            "so it cannot say which rows are open. Run `make test` for all of them."
        )


def main(root: Path) -> int:
    """Prints the ledger found in ``root``; 1 if no run has left one."""
    try:
        ledger: Ledger = json.loads((root / LEDGER).read_text(encoding="utf-8"))
    except FileNotFoundError:
        print(f"There is no {LEDGER} yet: run `make test` first.", file=sys.stderr)
        return 1
    print("\n".join(lines(row_ids(root), ledger)))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path.cwd()))
