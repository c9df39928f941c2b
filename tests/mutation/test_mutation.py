"""Each of ten load-bearing lines, broken, turns something red; whole, the same runs are green."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.mutation.mutants import MUTANTS, ROOT, LineGone, Mutant, break_line, copy_tree, noticed, run_in


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A tree that may be broken."""
    folder = tmp_path / "tree"
    folder.mkdir()
    copy_tree(folder)
    return folder


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_line_is_there(mutant: Mutant) -> None:
    """A mutant of a line that has gone would prove nothing."""
    text = (ROOT / mutant.file).read_text(encoding="utf-8")
    assert text.count(mutant.line) == 1, f"{mutant.file} no longer holds, once:\n{mutant.line}"
    assert mutant.line != mutant.instead


def test_a_line_that_has_gone_is_named(tmp_path: Path) -> None:
    """Clearly, with the file."""
    (tmp_path / "some.py").write_text("another\n", encoding="utf-8")
    with pytest.raises(LineGone, match=r"found 0 times in some\.py"):
        break_line(tmp_path, Mutant("a rule", "some.py", "the line", "another line"))


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_the_copy_is_what_runs(copy: Path) -> None:
    """Else the mutants would be run on the whole tree."""
    found = run_in(copy, [sys.executable, "-c", "import horae.domain as d, tests; print(d.__file__, tests.__file__)"])
    assert all(place.startswith(str(copy)) for place in found.stdout.split()), found.stdout + found.stderr


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_broken_line_turns_something_red(mutant: Mutant, copy: Path, record_property: Any) -> None:
    """Before it is broken the same run is green: here, or, of the simulation's seeds, in `make test`."""
    if mutant.shown_by:
        whole = run_in(copy, mutant.command())
        assert whole.returncode == 0, whole.stdout[-3_000:]
    break_line(copy, mutant)
    result = run_in(copy, mutant.command())
    last = [line for line in result.stdout.splitlines() if line.strip()][-3:]
    record_property("report", f"mutant, {mutant.name}: {' | '.join(last)[:300]}")
    assert noticed(mutant, result), result.stdout[-3_000:] + result.stderr[-3_000:]
