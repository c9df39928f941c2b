"""Fixtures of the API's specifications."""

from collections.abc import AsyncIterator

import pytest

from tests.api.world import World, make_world
from tests.fixtures.postgres import Database


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    """A fresh installation with two tenants, `acme` and `globex`."""
    async with make_world(database) as made:
        yield made
