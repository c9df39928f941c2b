"""The crash runs' own profile."""

import asyncio
from collections.abc import Callable

import pytest
import uvloop

from tests.e2e.profiles import Profile


@pytest.fixture(scope="module")
def profile() -> Profile:
    """Embedded only: of the stack's parts many more can die, which `tests/e2e/stack` has its own house and runs for."""
    return Profile()


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """uvloop's: what clients and receiver take of the processors is not the service's to use."""
    return {"uvloop": uvloop.new_event_loop}
