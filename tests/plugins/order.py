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


def length(item: pytest.Item) -> tuple[int, bool]:
    """How long its file may take: more the deeper it lies among the end-to-end tests, and with servers to start."""
    file = item.nodeid.partition("::")[0]
    return file.count("/") if file.startswith(_LONG) else 0, item.get_closest_marker("stack") is not None


#: Servers in Java, and programs that Go builds.
_SERVERS = {"kafka", "elasticsearch", "stack_folder"}
#: The first test of a process that asks for the servers pays for their start, and three processes share two cores.
_STACK_TIMEOUT_S = 300
_BUILT = {"helm", "deploy_checker", "promtool"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The end-to-end tests first, of these the long runs in their subfolders and the stack; otherwise as it was.

    What needs the stack's servers is marked `stack`, what needs a program that Go builds `built`.
    """
    for item in items:
        uses = set(getattr(item, "fixturenames", ()))
        if _SERVERS & uses or item.nodeid.startswith(("tests/infra/stack/", "tests/e2e/stack/")):
            item.add_marker(pytest.mark.stack)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(_STACK_TIMEOUT_S))
        if _BUILT & uses:
            item.add_marker(pytest.mark.built)
    items.sort(key=length, reverse=True)


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
