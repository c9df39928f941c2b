"""Read models in a real PostgreSQL: a template with empty tables, a copy per test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import pytest

from horae.infra.postgres import OWNER_ROLE, Cluster, migrate
from horae.projections import schema
from tests.fixtures.postgres import Database, fresh_database

if TYPE_CHECKING:
    from horae.projections.schema import Connection

_TEMPLATE = "horae_read_template"


@pytest.fixture(scope="session")
def read_template(cluster: Cluster) -> str:
    """The name of a database whose read models are installed and empty."""
    cluster.create_database(_TEMPLATE)
    dsn = cluster.dsn(OWNER_ROLE, _TEMPLATE)
    migrate(dsn)

    async def install() -> None:
        conn = await schema.connect(dsn)
        await schema.install(conn)
        await conn.close()

    asyncio.run(install())
    return _TEMPLATE


@pytest.fixture
def read_models(cluster: Cluster, read_template: str) -> Iterator[Database]:
    """A database of this test's own, with empty read models."""
    yield from fresh_database(cluster, read_template)


@pytest.fixture
async def conn(read_models: Database) -> AsyncIterator[Connection]:
    """A connection of the owner's role to the read models."""
    connection = await schema.connect(read_models.owner_dsn)
    yield connection
    await connection.close()
