"""Read models in a real PostgreSQL: one database for all tests of this folder, emptied before each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import pytest

from horae.infra.postgres import Cluster
from horae.projections import schema
from tests.fixtures.postgres import Database, fresh_database

if TYPE_CHECKING:
    from horae.projections.schema import Connection


@pytest.fixture(scope="session")
def read_models(cluster: Cluster, migrated_template: str) -> Iterator[Database]:
    """A database whose read models are installed."""

    async def install(dsn: str) -> None:
        conn = await schema.connect(dsn)
        await schema.install(conn)
        await conn.close()

    for database in fresh_database(cluster, migrated_template):
        asyncio.run(install(database.owner_dsn))
        yield database


@pytest.fixture
async def conn(read_models: Database) -> AsyncIterator[Connection]:
    """A connection of the owner's role to empty read models."""
    connection = await schema.connect(read_models.owner_dsn)
    await empty(connection)
    yield connection
    await connection.close()


async def empty(conn: Connection) -> None:
    """As a feeder at position 0 finds them, but for the partitions."""
    await conn.execute(
        "DELETE FROM schedules; DELETE FROM schedule_tags; DELETE FROM schedule_words; DELETE FROM standings; "
        "DELETE FROM occurrences; "
        "DELETE FROM due; DELETE FROM recipients; DELETE FROM habits; DELETE FROM awaited; DELETE FROM calibrations; "
        "DELETE FROM models; DELETE FROM api_keys; DELETE FROM feeds; DELETE FROM parked; "
        "UPDATE positions SET position = 0"
    )
