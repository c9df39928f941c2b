"""Rules of the house that no linter of the shelf knows, read from the syntax trees."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
LAYERS: Final = ("domain", "commands", "projections", "streams", "api", "infra")
EVERYTHING: Final = (*LAYERS, "tests", "examples", "benchmarks")
CLOCKLESS: Final = ("domain", "commands", "projections", "streams", "api")
MOST_LINES: Final = 400

CLOCKS: Final = frozenset(
    {"datetime.now", "datetime.utcnow", "datetime.today", "date.today", "pendulum.now", "time.time", "time.time_ns"}
)
SLEEPS: Final = frozenset({"time.sleep", "asyncio.sleep", "anyio.sleep"})

# Tests that may sleep, with the reason. A test that waits for something awaits that something.
SLEEPERS: Final[dict[str, str]] = dict.fromkeys(
    (f"tests/simulation/{name}.py" for name in ("clients", "history", "house", "lines", "outside", "worker")),
    "on virtual time: a sleep there is a place in the story, and takes no time",
)

Rule = Callable[[ast.Module], Iterator[str]]


def modules(*folders: str) -> list[Path]:
    found = (path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return sorted(path for path in found if "__pycache__" not in path.parts)


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Each call with its last two names: ``datetime.datetime.now(UTC)`` is ``datetime.now``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ".".join(ast.unparse(node.func).split(".")[-2:]), node


def clock_reads(tree: ast.Module) -> Iterator[str]:
    for name, call in calls(tree):
        if name in CLOCKS:
            yield f"line {call.lineno}: {name}(); take `now` from the command, or from the Clock port"


def sleeps(tree: ast.Module) -> Iterator[str]:
    """Sleeping calls, also under names imported bare; ``asyncio.sleep(0)`` only yields to the loop and is no sleep."""
    bare = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    for name, call in calls(tree):
        full = bare.get(name, name)
        yields_only = [ast.unparse(argument) for argument in call.args] == ["0"]
        if full in SLEEPS and not yields_only:
            yield f"line {call.lineno}: {full}(); await the signal instead"


def found_in(paths: list[Path], rule: Rule) -> list[str]:
    return [f"{relative(path)}: {finding}" for path in paths for finding in rule(parse(path))]


def test_only_infra_reads_a_clock() -> None:
    """`now` travels in the command or comes from the Clock port, so that a virtual clock moves everything."""
    assert found_in(modules(*CLOCKLESS), clock_reads) == []


def test_no_module_grows_past_reading() -> None:
    """A module is one thing that can be read in one sitting; past 400 lines it is several."""
    lengths = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in modules(*EVERYTHING)}
    assert {path: lines for path, lines in lengths.items() if lines > MOST_LINES} == {}


def test_every_module_says_its_place() -> None:
    """Each module opens with a docstring: what it is, and where in the flow."""
    assert [relative(path) for path in modules(*EVERYTHING) if not ast.get_docstring(parse(path))] == []


def test_every_test_says_what_it_specifies() -> None:
    """A test's docstring is the sentence that it proves."""

    def silent(tree: ast.Module) -> Iterator[str]:
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            if node.name.startswith("test_") and not ast.get_docstring(node):
                yield f"line {node.lineno}: {node.name}"

    assert found_in([path for path in modules("tests") if path.name.startswith("test_")], silent) == []


def test_no_test_sleeps() -> None:
    """Tests await signals: a sleep is either too short on a busy machine or too long on every other."""
    assert found_in([path for path in modules("tests") if relative(path) not in SLEEPERS], sleeps) == []
    assert [path for path in SLEEPERS if not (ROOT / path).exists()] == []


def test_no_drawers_without_a_name() -> None:
    """A module is called after what it holds."""
    nameless = {"utils.py", "util.py", "helpers.py", "helper.py", "manager.py", "common.py", "misc.py"}
    assert [relative(path) for path in modules(*EVERYTHING) if path.name in nameless] == []


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        (clock_reads, "import datetime\ndatetime.datetime.now(datetime.UTC)"),
        (clock_reads, "from datetime import datetime\nx = datetime.utcnow()"),
        (clock_reads, "import time\ntime.time()"),
        (sleeps, "import asyncio\nasync def f(): await asyncio.sleep(0.1)"),
        (sleeps, "from asyncio import sleep\nasync def f(): await sleep(1)"),
        (sleeps, "from time import sleep as rest\nrest(1)"),
    ],
)
def test_the_rules_see_what_they_forbid(rule: Rule, source: str) -> None:
    """A lint that finds nothing must be known to find something."""
    assert len(list(rule(ast.parse(source)))) == 1


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        (clock_reads, "clock.now()"),
        (clock_reads, "import time\ntime.monotonic()"),
        (sleeps, "import asyncio\nasync def f(): await asyncio.sleep(0)"),
    ],
)
def test_the_rules_allow_what_they_should(rule: Rule, source: str) -> None:
    """The Clock port, monotonic time and yielding to the loop stay free."""
    assert list(rule(ast.parse(source))) == []
