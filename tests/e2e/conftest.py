"""Fixtures of the end-to-end tests: the real processes, and a real receiver."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from tests.e2e.harness import Service, descendants
from tests.e2e.live import Live, command, running
from tests.e2e.profiles import EMBEDDED, STACK, Profile
from tests.e2e.receiver import Receiver

MakeService = Callable[..., Service]


#: The first test of a process that asks for it pays for the start of the servers.
_IN_STACK = (pytest.mark.stack, pytest.mark.timeout(600))


@pytest.fixture(scope="module", params=[EMBEDDED, pytest.param(STACK, marks=_IN_STACK)])
def profile(request: pytest.FixtureRequest) -> Profile:
    """The profile to test: whatever asks for this, or for a service, runs in both."""
    if request.param == EMBEDDED:
        return Profile()
    return Profile(STACK, request.getfixturevalue("kafka"), request.getfixturevalue("elasticsearch"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(profile: Profile) -> AsyncIterator[Live]:
    """The service, on real time; a module whose time is virtual has a fixture of its own by this name."""
    async with running(profile) as live:
        yield live


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def other(live: Live) -> AsyncIterator[httpx.AsyncClient]:
    """An admin of another tenant, whose key the operator issued on the machine."""
    issued = await command(live.service, "keys", "issue", "globex", "--tenant", "globex", "--scope", "admin")
    async with live.service.client(issued["key"]) as client:
        yield client


@pytest.fixture
def data_folder() -> Iterator[Path]:
    """A data folder that PostgreSQL's own user can reach, which pytest's temporary folders are not."""
    parent = Path(tempfile.mkdtemp(prefix="horae-e2e-"))
    parent.chmod(0o755)
    try:
        yield parent / "data"
    finally:
        shutil.rmtree(parent, ignore_errors=True)


@pytest.fixture
async def make_service(data_folder: Path, profile: Profile) -> AsyncIterator[MakeService]:
    """Makes services that are stopped afterwards; `make_service(clock="virtual=...", arguments=(...))`."""
    made: list[Service] = []

    def make(clock: str | None = None, **options: object) -> Service:
        folder = data_folder if not made else data_folder.with_name(f"data-{len(made)}")
        options = {"workers": profile.workers(clock), "environment": profile.environment()} | options
        made.append(Service(folder, clock=clock, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for service in made:
        await service.stop()
        assert not descendants(service.pid), service.tail()
        await profile.forget(service.environment)


@pytest.fixture
async def service(make_service: MakeService) -> Service:
    """A running service on real time."""
    return await make_service().start()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A running receiver of webhooks."""
    async with Receiver() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def hooks() -> AsyncIterator[Receiver]:
    """A receiver of this test's own, for tests that share their module's event loop (and so a service)."""
    async with Receiver() as running:
        yield running
