"""A worker on a database of its own."""

from collections.abc import AsyncIterator

import pytest

from tests.fixtures.postgres import Database
from tests.streams.worker import Worker, worker_on


@pytest.fixture
async def worker(database: Database) -> AsyncIterator[Worker]:
    """The real log, read models and feed; the test starts its dispatchers."""
    async with worker_on(database) as worker:
        yield worker
