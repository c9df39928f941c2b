"""The ledger, tried on small projects of its own."""

import json
from pathlib import Path
from typing import cast

import pytest

from tests.plugins.catalogue import row_ids
from tests.plugins.ledger import Ledger
from tests.plugins.ledger_report import judge, lines, main

CATALOGUE = """
| ID | Requirement | Seed |
|---|---|---|
| SCH-01 | Immediate. | R1 |
| SCH-02 | Delayed (see DAT-09). | R1 |
| DAT-01.04 | `scheduledTime` | NN |
| GAP-05 | Capacity. | PRF-01 |
"""

ALONE = ("-p", "no:cacheprovider")
TOGETHER = (*ALONE, "-n", "2")


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    docs = pytester.mkdir("docs")
    (docs / "requirements.md").write_text(CATALOGUE, encoding="utf-8")
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    pytester.makeconftest('pytest_plugins = ("tests.plugins.ledger",)')
    return pytester


def ledger_of(project: pytest.Pytester) -> Ledger:
    return cast(Ledger, json.loads((project.path / ".ledger.json").read_text(encoding="utf-8")))


def test_rows_are_the_first_column_of_the_tables(project: pytest.Pytester) -> None:
    """Rows named inside a text are references, not rows; dotted ids are rows."""
    assert row_ids(project.path) == ("SCH-01", "SCH-02", "DAT-01.04", "GAP-05")


def test_the_real_catalogue_has_its_rows() -> None:
    """The catalogue of this repository is read whole: every group is there."""
    rows = row_ids(Path(__file__).parents[2])
    assert {"SCH-03", "DAT-01.04", "ACC-60", "CFG-35", "ENV-45"} <= set(rows)
    assert len(rows) >= 788


@pytest.mark.parametrize("arguments", [ALONE, TOGETHER], ids=["alone", "xdist"])
def test_only_a_test_that_passes_shows_its_rows(project: pytest.Pytester, arguments: tuple[str, ...]) -> None:
    """Skipped and expected failures show nothing, a failing teardown takes a pass back, with xdist or without."""
    project.makepyfile(
        test_it="""
        import pytest

        @pytest.fixture
        def breaks_later():
            yield
            raise RuntimeError

        @pytest.mark.covers("SCH-01", "DAT-01.04")
        def test_passes(): pass

        @pytest.mark.covers("SCH-02")
        def test_fails(): assert False

        @pytest.mark.covers("SCH-02")
        def test_breaks_later(breaks_later): pass

        @pytest.mark.skip
        @pytest.mark.covers("GAP-05")
        def test_skipped(): pass

        @pytest.mark.xfail
        @pytest.mark.covers("GAP-05")
        def test_expected_to_fail(): pass

        def test_unmarked(): pass
        """
    )
    project.runpytest(*arguments).assert_outcomes(passed=3, failed=1, errors=1, skipped=1, xpassed=1)
    ledger = ledger_of(project)
    assert ledger["passed"] == ["test_it.py::test_passes"]
    assert ledger["failed"] == ["test_it.py::test_breaks_later", "test_it.py::test_fails"]
    assert ledger["files"] == ["test_it.py"]
    assert ledger["files_not_seen"] == []
    assert judge(row_ids(project.path), ledger) == {
        "SCH-01": "shown",
        "SCH-02": "failing",
        "DAT-01.04": "shown",
        "GAP-05": "not run",
    }


@pytest.mark.parametrize("arguments", [ALONE, TOGETHER], ids=["alone", "xdist"])
def test_an_unknown_row_fails_the_run_by_the_tests_name(project: pytest.Pytester, arguments: tuple[str, ...]) -> None:
    """A row that the catalogue lacks stops the run before any test, naming the test and the row."""
    project.makepyfile(test_it='import pytest\n@pytest.mark.covers("SCH-99")\ndef test_claims_too_much(): pass')
    result = project.runpytest(*arguments)
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*test_it.py::test_claims_too_much: docs/requirements.md has no row SCH-99*"])


def test_a_fourth_row_fails_the_run(project: pytest.Pytester) -> None:
    """Three rows a test at most, counted over the marks of test, class and module together."""
    project.makepyfile(
        test_it="""
        import pytest

        @pytest.mark.covers("SCH-01", "SCH-02")
        class TestMany:
            @pytest.mark.covers("DAT-01.04", "GAP-05")
            def test_all(self): pass
        """
    )
    result = project.runpytest(*ALONE)
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*test_it.py::TestMany::test_all: covers names 4 rows*at most 3*"])


@pytest.mark.parametrize("mark", ["covers()", 'covers(row="SCH-01")'])
def test_a_mark_without_ids_fails_the_run(project: pytest.Pytester, mark: str) -> None:
    """An empty or named argument is a slip of the pen, not a claim."""
    project.makepyfile(test_it=f"import pytest\n@pytest.mark.{mark}\ndef test_it(): pass")
    result = project.runpytest(*ALONE)
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*test_it.py::test_it: covers takes row ids*"])


@pytest.mark.parametrize(
    "narrowing",
    [("test_one.py",), ("test_one.py::test_first", "test_two.py")],
    ids=["one-file", "one-test"],
)
def test_a_run_over_a_part_calls_no_row_open(project: pytest.Pytester, narrowing: tuple[str, ...]) -> None:
    """Files or tests that were never asked leave their rows unknown."""
    project.makepyfile(
        test_one='import pytest\n@pytest.mark.covers("SCH-01")\ndef test_first(): pass\ndef test_second(): pass',
        test_two='import pytest\n@pytest.mark.covers("SCH-02")\ndef test_third(): pass',
    )
    project.runpytest(*ALONE, *narrowing)
    ledger = ledger_of(project)
    states = judge(row_ids(project.path), ledger)
    assert states["SCH-01"] == "shown"
    assert "open" not in states.values()
    assert "cannot say which rows are open" in "\n".join(lines(row_ids(project.path), ledger))


@pytest.mark.parametrize("arguments", [ALONE, TOGETHER], ids=["alone", "xdist"])
def test_a_deselected_test_is_not_run_rather_than_open(project: pytest.Pytester, arguments: tuple[str, ...]) -> None:
    """Leaving out tests by -k or -m still knows what they claim."""
    project.makepyfile(
        test_it="""
        import pytest

        @pytest.mark.covers("SCH-01")
        def test_short(): pass

        @pytest.mark.covers("SCH-02")
        def test_long(): pass
        """
    )
    project.runpytest(*arguments, "-k", "short").assert_outcomes(passed=1, deselected=1 if arguments is ALONE else None)
    states = judge(row_ids(project.path), ledger_of(project))
    assert states == {"SCH-01": "shown", "SCH-02": "not run", "DAT-01.04": "open", "GAP-05": "open"}


def test_collecting_alone_keeps_the_last_runs_ledger(project: pytest.Pytester) -> None:
    """Looking at what would run is not a run."""
    project.makepyfile(test_it="def test_it(): pass")
    project.runpytest(*ALONE, "--collect-only")
    assert not (project.path / ".ledger.json").exists()


@pytest.mark.parametrize("arguments", [ALONE, TOGETHER], ids=["alone", "xdist"])
def test_a_run_that_goes_on_adds_to_the_one_before(project: pytest.Pytester, arguments: tuple[str, ...]) -> None:
    """As `make test` does: what the first has shown stays shown, and together they have seen every file."""
    project.makepyfile(
        test_one='import pytest\n@pytest.mark.covers("SCH-01")\ndef test_first(): pass',
        test_two="""
        import pytest

        @pytest.mark.covers("SCH-02")
        def test_second(): pass

        @pytest.mark.covers("GAP-05")
        def test_third(): assert False
        """,
    )
    project.runpytest(*ALONE, "test_one.py").assert_outcomes(passed=1)
    assert judge(row_ids(project.path), ledger_of(project))["SCH-02"] == "unknown"
    on = (*arguments, "--ledger-goes-on", "--ignore=test_one.py")
    project.runpytest(*on).assert_outcomes(passed=1, failed=1)
    ledger = ledger_of(project)
    assert ledger["files_not_seen"] == []
    states = judge(row_ids(project.path), ledger)
    assert states == {"SCH-01": "shown", "SCH-02": "shown", "DAT-01.04": "open", "GAP-05": "failing"}

    mended = project.path / "test_two.py"
    mended.write_text(mended.read_text(encoding="utf-8").replace("assert False", "pass"), encoding="utf-8")
    project.runpytest(*on).assert_outcomes(passed=2)
    assert judge(row_ids(project.path), ledger_of(project))["GAP-05"] == "shown"
    project.runpytest(*ALONE, "test_two.py").assert_outcomes(passed=2)
    assert judge(row_ids(project.path), ledger_of(project))["SCH-01"] == "unknown"


def test_a_missing_catalogue_is_a_usage_error(project: pytest.Pytester) -> None:
    """Without the catalogue no claim can be checked, so nothing runs."""
    (project.path / "docs" / "requirements.md").unlink()
    project.makepyfile(test_it="def test_it(): pass")
    result = project.runpytest(*ALONE)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*The requirements ledger needs the catalogue*"])


def test_the_report_prints_groups_counts_and_rows(project: pytest.Pytester, capsys: pytest.CaptureFixture[str]) -> None:
    """`make ledger` prints per group what is shown and what is open, and the sum of all."""
    project.makepyfile(test_it='import pytest\n@pytest.mark.covers("SCH-02")\ndef test_it(): pass')
    project.runpytest(*ALONE)
    capsys.readouterr()
    assert main(project.path) == 0
    assert capsys.readouterr().out.splitlines() == [
        "SCH: 1 of 2 shown",
        "  shown      1  02",
        "  open       1  01",
        "DAT: 0 of 1 shown",
        "  open       1  01.04",
        "GAP: 0 of 1 shown",
        "  open       1  05",
        "",
        "4 rows: 1 shown, 3 open",
    ]


def test_the_report_without_a_run_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before the first run there is nothing to print, and the reader learns how to get it."""
    assert main(tmp_path) == 1
    assert "run `make test` first" in capsys.readouterr().err
