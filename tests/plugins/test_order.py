"""How test processes share a run, seen from outside: pytest runs suites written here, in two processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plugins.order import share_of

_TEST = """
import os
import pytest

@pytest.fixture(scope="module", params=["embedded", "stack"])
def profile(request):
    return request.param

@pytest.mark.parametrize("n", range(3))
def test_it(profile, n):
    print("ran", __name__, profile, os.environ["PYTEST_XDIST_WORKER"])
"""


@pytest.mark.parametrize(
    ("test", "share"),
    [
        ("tests/e2e/test_a.py::test_x[embedded-now]", "tests/e2e/test_a.py"),
        ("tests/e2e/test_a.py::test_x[stack-now]", "tests/e2e/test_a.py[stack]"),
        ("tests/e2e/test_a.py::test_x[stack]", "tests/e2e/test_a.py[stack]"),
        ("tests/e2e/test_a.py::test_the_stack", "tests/e2e/test_a.py"),
        ("tests/infra/stack/test_b.py::test_x[haystack]", "tests/infra/stack/test_b.py"),
    ],
)
def test_a_file_in_one_profile_is_one_share(test: str, share: str) -> None:
    """Whatever other parameters there are."""
    assert share_of(test) == share


@pytest.mark.timeout(300)
def test_each_share_is_done_by_one_process_and_the_long_ones_come_first(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes: the deepest end-to-end file begins, though others have as many tests and come before by name."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    for path in ("tests/a/test_quick.py", "tests/e2e/test_middle.py", "tests/e2e/long/test_long.py"):
        file = pytester.path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(_TEST)
    pytester.makeconftest('pytest_plugins = ("tests.plugins.order",)')
    result = pytester.runpytest_subprocess(
        "-n2", "--dist", "loadfile", "-rP", "-v", "--import-mode=importlib", "-p", "no:cacheprovider"
    )
    result.assert_outcomes(passed=18)
    began = [line.split()[-1] for line in result.outlines if line.startswith("[gw") and "PASSED" in line]
    assert began[0].startswith("tests/e2e/long/")
    ran = {tuple(line.split()[1:]) for line in result.outlines if line.startswith("ran ")}
    assert len(ran) == 6, "a share was split between processes"
