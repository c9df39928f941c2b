"""How several test processes (`-n`) share the run: by file and profile, and the long ones first.

A file's tests share their services, so they stay together; but those of the two profiles (`tests/e2e/profiles.py`)
share nothing, and together would take twice as long. What takes minutes begins first, so that at the end no process is
left alone with it: xdist itself begins with the files that have most tests, and those are the quick ones.
"""

from __future__ import annotations

from typing import Any

import pytest

_LONG = "tests/e2e/"


def share_of(nodeid: str) -> str:
    """What of a run is done by one process: the file, in its profile if the test has one."""
    file, _, name = nodeid.partition("::")
    parameters = name.partition("[")[2].rstrip("]").split("-")
    return f"{file}[stack]" if "stack" in parameters else file


def depth(nodeid: str) -> int:
    """How long it may take: 0, or more the deeper its file lies among the end-to-end tests."""
    file = nodeid.partition("::")[0]
    return file.count("/") if file.startswith(_LONG) else 0


#: What is fetched or built before the first test that uses it can run: servers in Java, programs in Go.
_FETCHED = {"kafka", "elasticsearch", "stack_folder", "helm", "deploy_checker", "promtool"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The end-to-end tests first, of these the long runs in their subfolders; otherwise as it was.

    What needs a fetched program, or the stack, is marked `fetched`: `make test-stack` runs just that.
    """
    for item in items:
        fetching = item.nodeid.startswith("tests/infra/stack/")
        if fetching or item.get_closest_marker("stack") or _FETCHED & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.fetched)
    items.sort(key=lambda item: -depth(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """For `--dist loadfile`."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class ByShare(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return share_of(nodeid)

    config.option.loadscopereorder = False
    return ByShare(config, log)
