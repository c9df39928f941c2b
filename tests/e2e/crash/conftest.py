"""The crash runs' own profile."""

import asyncio

import pytest
import uvloop

from tests.e2e.profiles import Profile


@pytest.fixture(scope="module")
def profile() -> Profile:
    """Embedded only: of the stack's parts many more can die, which `tests/e2e/stack` has its own house and runs for."""
    return Profile()


@pytest.fixture(scope="session")
def event_loop_policy() -> asyncio.AbstractEventLoopPolicy:
    """uvloop's: what clients and receiver take of the processors is not the service's to use."""
    policy: asyncio.AbstractEventLoopPolicy = uvloop.EventLoopPolicy()
    return policy
