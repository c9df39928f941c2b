"""The lines that everything rests on, what breaks each, and where that must show."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.mutation.running import run

ROOT = Path(__file__).parents[2]
_COPIED = ("api", "commands", "domain", "infra", "projections", "streams", "src", "tests", "deploy", "docs")
#: Seeds that the simulation is given to notice it: as many as `make test` lives through.
_SEEDS = 300


@dataclass(frozen=True, slots=True)
class Mutant:
    """One line broken. `shown_by`: tests, as pytest names them; empty: the simulation."""

    name: str
    file: str
    line: str
    instead: str
    shown_by: tuple[str, ...] = ()
    first_seed: int = 1_000

    def command(self) -> list[str]:
        """What must fail."""
        if self.shown_by:
            # No bound by the clock on the wall: on a crowded machine that shows the crowd. See `running.Standstill`.
            quiet = ["-q", "-x", "-p", "no:cacheprovider", "-o", "timeout=0"]
            return [sys.executable, "-m", "pytest", *quiet, *self.shown_by]
        seeds = ["--from", str(self.first_seed), "--count", str(_SEEDS)]
        return [sys.executable, "-m", "tests.simulation", "--until-broken", *seeds]


MUTANTS: Sequence[Mutant] = (
    Mutant(
        "a claim no longer expects the schedule's head",
        "commands/occurrences.py",
        "            expects = {candidate.schedule.id: candidate.schedule.version}",
        "            expects: dict[UUID, int] = {}",
    ),
    Mutant(
        "the read models' position moves whoever moved it meanwhile",
        "projections/sql/projector.sql",
        "        ON p.shard = n.shard AND p.position = n.old",
        "        ON p.shard = n.shard",
        ("tests/fakes/test_read_models.py::TestTwoFeedersInPostgres",),
    ),
    Mutant(
        "what a feed delivers twice is applied twice",
        "projections/projector.py",
        "if event.position > moves.get(shard, 0) and event.position > self.at(shard):",
        "if event.position > moves.get(shard, 0):",
        ("tests/fakes/test_read_models.py::TestTwoFeedersInMemory",),
    ),
    Mutant(
        "nobody takes over what a dead worker left",
        "streams/recovery.py",
        "        for owner in sorted(gone | (owners & {self._ours})):",
        "        for owner in sorted(owners & {self._ours}):",
    ),
    Mutant(
        "a local time that a gap skips goes backward",
        "domain/timing/zones.py",
        "    there = local.replace(tzinfo=zone(name), fold=fold)",
        "    there = local.replace(tzinfo=zone(name), fold=1)",
        ("tests/domain/timing/test_golden.py",),
    ),
    Mutant(
        "at_most_once tries again although it may have arrived",
        "domain/occurrence/attempts.py",
        "    may_repeat = delivery.mode is Mode.AT_LEAST_ONCE or failure.nothing_arrived",
        "    may_repeat = True",
    ),
    Mutant(
        "a result counts for whichever attempt is open",
        "domain/occurrence/attempts.py",
        "    return state is not None and state.phase is Phase.EXECUTING and state.attempt == attempt",
        "    return state is not None and state.phase is Phase.EXECUTING",
        ("tests/domain/test_occurrence_attempts.py",),
    ),
    Mutant(
        "a page of the due index overrides what was heard while it was read",
        "streams/dispatcher/horizon.py",
        "            if key in changed or self._rows.get(key) == row or self._taken.get(key) == row:",
        "            if self._rows.get(key) == row or self._taken.get(key) == row:",
        ("tests/streams/dispatcher/test_horizon.py",),
    ),
    Mutant(
        "slots that the policy fires are given up",
        "domain/occurrence/firing.py",
        '    spared = rule.missed.most if policy == "all" else 0',
        "    spared = 0",
        ("tests/domain/test_occurrence_firing.py",),
    ),
    Mutant(
        "nobody looks where the read models stand when the session with them has ended",
        "streams/feed.py",
        "            await asyncio.wait((batch, self._ended), return_when=asyncio.FIRST_COMPLETED)",
        "            await asyncio.wait((batch,))",
        first_seed=26,
    ),
)


class LineGone(Exception):
    """The line to break is no longer there, or there more than once: name the one that does its work now."""


def copy_tree(folder: Path) -> None:
    """The tree as it lies here, links kept."""
    for name in _COPIED:
        ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
        if (ROOT / name).exists():
            shutil.copytree(ROOT / name, folder / name, symlinks=True, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "Makefile", "requirements.lock"):
        shutil.copy(ROOT / name, folder / name)


def break_line(folder: Path, mutant: Mutant) -> None:
    """Break it in the copy. Raises `LineGone`."""
    path = folder / mutant.file
    text = path.read_text(encoding="utf-8")
    found = text.count(mutant.line)
    if found != 1:
        raise LineGone(f"{mutant.name}: found {found} times in {mutant.file}:\n{mutant.line}")
    path.write_text(text.replace(mutant.line, mutant.instead), encoding="utf-8")


def run_in(folder: Path, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run it on the copy: the copy's modules come first. Raises `Stuck`."""
    environment = {**os.environ, "PYTHONPATH": str(folder / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("PYTEST_ADDOPTS", None)
    return run(command, folder, environment)


def noticed(mutant: Mutant, result: subprocess.CompletedProcess[str]) -> bool:
    """Did a test turn red, or a promise break? A crash of the run itself is neither."""
    if mutant.shown_by:
        return result.returncode == 1 and " failed" in result.stdout
    return result.returncode == 1 and "Broken: " in result.stdout
