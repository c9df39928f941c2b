"""A real Elasticsearch with indices of a test's own, and read models to fill them from."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from elasticsearch import AsyncElasticsearch

from horae.domain.envelope import NewEvent, Recorded
from horae.infra.elasticsearch.connection import connect
from horae.infra.elasticsearch.documents import ElasticsearchDocuments
from horae.infra.elasticsearch.engine import ElasticsearchSearch
from horae.infra.elasticsearch.indices import Indices
from horae.infra.eventstore import PostgresEventStore
from horae.projections import schema
from horae.projections.projector import Projector
from horae.projections.search.documents import Document
from horae.projections.search.ports import KINDS
from horae.projections.search.sources import documents_after
from horae.streams.indexing import Engine

if TYPE_CHECKING:
    from horae.projections.schema import Connection


@dataclass
class Search:
    """Everything of one installation's search in Elasticsearch."""

    client: AsyncElasticsearch
    indices: Indices
    documents: ElasticsearchDocuments
    engine: ElasticsearchSearch


@asynccontextmanager
async def open_search(url: str, prefix: str, *, make: bool = True) -> AsyncIterator[Search]:
    """Empty indices (unless somebody else makes them), deleted afterwards."""
    client = connect(url)
    indices = Indices(client, prefix)
    try:
        for kind in KINDS if make else ():
            await indices.ensure(kind)
        yield Search(client, indices, ElasticsearchDocuments(client, indices), ElasticsearchSearch(client, indices))
    finally:
        await indices.drop(*await indices.names())
        await client.close()


async def fill_read_models(dsn: str, events: Sequence[Recorded]) -> Connection:
    """The events in the log and applied; gives a connection of the owner's role."""
    conn = await schema.connect(dsn)
    await schema.install(conn)
    async with PostgresEventStore(dsn) as store:
        for event in events:
            await store.append([NewEvent(event.stream, event.version, event.meta, event.body)])
    projector = Projector()
    await projector.load(conn)
    await projector.apply(conn, events)
    return conn


async def all_documents(conn: Connection) -> list[Document]:
    """As the read models have them."""
    found = []
    for kind in KINDS:
        documents, following = await documents_after(conn, kind, "", 10_000)
        assert following is None
        found += documents
    return found


class Held:
    """The engine, which puts nothing until it is let."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.putting, self.let = asyncio.Event(), asyncio.Event()

    @property
    def answered(self) -> int:
        """See `Engine`."""
        return self._engine.answered

    async def prepare(self) -> bool:
        """See `Engine`."""
        return await self._engine.prepare()

    async def put(self, documents: Sequence[Document]) -> None:
        """See `Engine`."""
        self.putting.set()
        await self.let.wait()
        await self._engine.put(documents)
