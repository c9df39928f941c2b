"""The requirements ledger: which row of the catalogue is shown by which passing test.

A test says what it shows with ``@pytest.mark.covers("SCH-03")``. While collecting, this plugin refuses more than
three ids, or an id that the catalogue lacks, with the test's name. After the run it writes ``.ledger.json``, which
`make ledger` prints. With ``--ledger-goes-on`` it adds to what the run before has written, because `make test` is more
than one run.

With xdist only the workers collect and only the controller hears every result, so each worker hands over what it has
collected as it ends. A run over some of the tests writes down which files it has seen, so that nobody takes a row for
open only because its test was not asked.
"""

import json
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, Final, TypedDict

import pytest

from tests.plugins.catalogue import row_ids

LEDGER: Final = Path(".ledger.json")
MOST_IDS_A_TEST: Final = 3

_WORKER_KEY: Final = "ledger"
_GOES_ON: Final = "--ledger-goes-on"


class Collected(TypedDict):
    """What collecting has seen: test files read to their end, and the rows that each marked test claims."""

    files: list[str]
    claims: dict[str, list[str]]


class Ledger(Collected):
    """One run, as written to ``.ledger.json``; marked tests neither in ``passed`` nor in ``failed`` did not run."""

    files_not_seen: list[str]
    passed: list[str]
    failed: list[str]


def merged(earlier: Ledger, later: Ledger) -> Ledger:
    """Both runs as one; of a test that ran in both the later result counts."""
    anew = {*later["passed"], *later["failed"]}
    return Ledger(
        files=sorted({*earlier["files"], *later["files"]}),
        # A file that was not there yet is not named by the earlier run.
        files_not_seen=sorted(set(later["files_not_seen"]) - set(earlier["files"])),
        claims=dict(sorted({**earlier["claims"], **later["claims"]}.items())),
        passed=sorted({*(set(earlier["passed"]) - anew), *later["passed"]}),
        failed=sorted({*(set(earlier["failed"]) - anew), *later["failed"]}),
    )


class LedgerPlugin:
    """Gathers claims while collecting and results while running; one per process."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        try:
            self._known = frozenset(row_ids(config.rootpath))
        except FileNotFoundError as error:
            raise pytest.UsageError(f"The requirements ledger needs the catalogue: {error}") from error
        self._files: set[str] = set()
        self._claims: dict[str, list[str]] = {}
        self._called: set[str] = set()
        self._failed: set[str] = set()

    # Collecting: in every worker with xdist, else in the only process.

    @pytest.hookimpl(wrapper=True)
    def pytest_pycollect_makeitem(self, collector: pytest.Collector) -> Generator[None, Any, Any]:
        made = yield
        for node in made if isinstance(made, list) else [made]:
            if isinstance(node, pytest.Item):
                self._claim(collector, node)
        return made

    def _claim(self, collector: pytest.Collector, test: pytest.Item) -> None:
        ids: list[object] = []
        for mark in test.iter_markers("covers"):
            if mark.kwargs or not mark.args:
                raise collector.CollectError(f'{test.nodeid}: covers takes row ids, as in covers("SCH-03")')
            ids.extend(mark.args)
        rows = list(dict.fromkeys(str(row) for row in ids))
        if len(rows) > MOST_IDS_A_TEST:
            raise collector.CollectError(
                f"{test.nodeid}: covers names {len(rows)} rows ({', '.join(rows)}), at most {MOST_IDS_A_TEST} are "
                "allowed; split the test, so that each row is really shown"
            )
        unknown = [row for row in rows if row not in self._known]
        if unknown:
            raise collector.CollectError(f"{test.nodeid}: docs/requirements.md has no row {', '.join(unknown)}")
        if rows:
            self._claims[test.nodeid] = rows

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.passed and report.nodeid.endswith(".py"):
            self._files.add(report.nodeid)

    # Results: every report reaches the controller, or the only process.

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._failed.add(report.nodeid)
        elif report.when == "call" and report.passed and not hasattr(report, "wasxfail"):
            self._called.add(report.nodeid)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._config.option.collectonly:
            return
        collected = Collected(files=sorted(self._files), claims=self._claims)
        output: dict[str, Any] | None = getattr(self._config, "workeroutput", None)
        if output is not None:
            output[_WORKER_KEY] = collected
        else:
            self._write()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Takes over what a worker has collected; a worker that crashed has handed over nothing, and claims nothing."""
        collected: Collected | None = getattr(node, "workeroutput", {}).get(_WORKER_KEY)
        if collected is not None:
            self._files.update(collected["files"])
            self._claims.update(collected["claims"])

    def _write(self) -> None:
        seen = set() if self._narrowed_inside_files() else self._files
        ledger = Ledger(
            files=sorted(seen),
            files_not_seen=sorted(set(self._files_on_disk()) - seen),
            claims=dict(sorted(self._claims.items())),
            passed=sorted((self._called - self._failed) & self._claims.keys()),
            failed=sorted(self._failed & self._claims.keys()),
        )
        path = self._config.rootpath / LEDGER
        if self._config.getoption(_GOES_ON) and path.exists():
            ledger = merged(json.loads(path.read_text(encoding="utf-8")), ledger)
        path.write_text(json.dumps(ledger, indent=1) + "\n", encoding="utf-8")

    def _narrowed_inside_files(self) -> bool:
        """Whether tests of a file that was read were never collected (-k and -m leave out only after collecting)."""
        by_name = any("::" in argument for argument in self._config.args)
        return by_name or bool(self._config.getoption("lf", False))

    def _files_on_disk(self) -> Iterator[str]:
        root = self._config.rootpath
        for folder in self._config.getini("testpaths") or ["."]:
            for pattern in self._config.getini("python_files"):
                for file in (root / folder).rglob(pattern):
                    yield file.relative_to(root).as_posix()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(_GOES_ON, action="store_true", help="add to the last run's requirements ledger")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "covers(*ids): requirement rows that this test shows, at most three")
    config.pluginmanager.register(LedgerPlugin(config), "horae-ledger")
