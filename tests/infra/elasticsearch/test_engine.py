"""Search in Elasticsearch keeps the contract of search engines, over documents made from real read models."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest
from elasticsearch import ApiError, AsyncElasticsearch

from horae.domain.errors import Invalid, Unavailable
from horae.infra.elasticsearch.connection import connect
from horae.infra.elasticsearch.documents import ElasticsearchDocuments, IndexLost
from horae.infra.elasticsearch.engine import ElasticsearchSearch
from horae.infra.elasticsearch.indices import Indices
from horae.infra.postgres import Cluster
from horae.infra.stack import ElasticsearchServer
from horae.projections.search.documents import Document
from horae.projections.search.ports import KINDS, Checksum, Query
from tests.contracts.search_index import ACME, SearchIndexContract, tell
from tests.fixtures.postgres import fresh_database
from tests.infra.elasticsearch.world import Search, all_documents, fill_read_models, open_search

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]


@pytest.fixture(scope="session")
def told_documents(cluster: Cluster, migrated_template: str) -> Iterator[list[Document]]:
    """What the contract tells, as documents."""

    async def made(dsn: str) -> list[Document]:
        conn = await fill_read_models(dsn, tell())
        try:
            return await all_documents(conn)
        finally:
            await conn.close()

    for database in fresh_database(cluster, migrated_template):
        yield asyncio.run(made(database.owner_dsn))


@pytest.fixture(scope="session")
def told_prefix(elasticsearch: ElasticsearchServer, told_documents: list[Document]) -> str:
    """Indices that hold them, for all tests that only ask."""

    async def fill(prefix: str) -> str:
        client = connect(elasticsearch.url)
        indices = Indices(client, prefix)
        for kind in KINDS:
            assert await indices.ensure(kind)
        documents = ElasticsearchDocuments(client, indices)
        await documents.put(told_documents)
        await documents.refresh()
        await client.close()
        return prefix

    return asyncio.run(fill("told"))


@pytest.fixture
async def index(elasticsearch: ElasticsearchServer, told_prefix: str) -> AsyncIterator[ElasticsearchSearch]:
    """The engine."""
    client = connect(elasticsearch.url)
    yield ElasticsearchSearch(client, Indices(client, told_prefix))
    await client.close()


@pytest.fixture
async def search(elasticsearch: ElasticsearchServer, index_prefix: str) -> AsyncIterator[Search]:
    """Empty indices of the test's own."""
    async with open_search(elasticsearch.url, index_prefix) as made:
        yield made


class TestElasticsearchSearch(SearchIndexContract):
    """The contract, in Elasticsearch."""


def document(id_: str = "a", version: int = 7, **changes: Any) -> Document:
    """A schedule's document."""
    fields = {"status": "pending", "created_at": "2026-12-01T09:00:00+00:00", "channel": "log:", "tags": []}
    return replace(Document("schedule", id_, ACME, version, fields, (("content", "hello world"),)), **changes)


async def test_the_highest_version_wins(search: Search) -> None:
    """Late, repeated and reordered documents change nothing; a tombstone hides, and is not raised by what is older."""
    newer = document(version=9, texts=(("content", "newer"),))
    await search.documents.put([newer, document(version=8), newer])
    await search.documents.put([document(version=7)])
    await search.documents.refresh()
    assert (await search.engine.search(ACME, Query(q="newer"))).total == 1
    assert (await search.engine.search(ACME, Query(q="hello"))).total == 0
    assert await search.documents.checksum("schedule") == Checksum(1, newer.sum())
    await search.documents.put([Document("schedule", "a", ACME, 10, deleted=True), document(version=9)])
    await search.documents.refresh()
    assert (await search.engine.search(ACME, Query())).total == 0
    assert await search.documents.checksum("schedule") == Checksum(0, 0)


async def test_what_is_put_is_what_is_kept(search: Search, told_documents: list[Document]) -> None:
    """The sum over the index is that over the read models, in whatever order it was put."""
    await search.documents.put(list(reversed(told_documents)))
    await search.documents.refresh()
    for kind in KINDS:
        mine = [made for made in told_documents if made.kind == kind]
        assert len(mine) > 2
        assert await search.documents.checksum(kind) == Checksum(len(mine), sum(made.sum() for made in mine) % 2**64)


async def test_large_documents_go_in(search: Search) -> None:
    """As large as the API takes them, many at once; what is behind the bound of words is shown, but not found."""
    text = " ".join(f"word{number}" for number in range(9_000))
    long = "x" * 60_000
    await search.documents.put([document(str(n), texts=(("content", text), ("metadata", long))) for n in range(120)])
    await search.documents.refresh()
    assert (await search.engine.search(ACME, Query(q="word8999", limit=1))).total == 120
    assert (await search.engine.search(ACME, Query(q="x" * 100))).total == 120


async def test_paging_by_relevance_stands_still_while_documents_come(search: Search) -> None:
    """The second page goes on in the view that the first one opened; when that is gone the cursor is refused."""
    await search.documents.put([document(f"{n:03d}", texts=(("content", "report " * (n + 1)),)) for n in range(9)])
    await search.documents.refresh()
    seen: list[str] = []
    cursor: str | None = None
    while True:
        found = await search.engine.search(ACME, Query(q="report", limit=2, cursor=cursor))
        seen += [hit.id for hit in found.items]
        before, cursor = cursor, found.next
        if cursor is None:
            break
        await search.documents.put([document(f"new{len(seen)}", texts=(("content", "report report"),))])
        await search.documents.refresh()
    assert sorted(seen) == [f"{n:03d}" for n in range(9)]
    await search.indices.drop(*await search.indices.names())
    with pytest.raises(Invalid, match="cursor") as refused:
        await search.engine.search(ACME, Query(q="report", limit=2, cursor=before))
    assert refused.value.field == "cursor"


async def test_a_server_that_is_away_is_said_so() -> None:
    """Nothing waits for ever, and nothing else is raised."""
    async with AsyncElasticsearch("http://127.0.0.1:1", request_timeout=1, max_retries=0) as nobody:
        indices = Indices(nobody, "x")
        with pytest.raises(Unavailable):
            await ElasticsearchSearch(nobody, indices).search(ACME, Query())
        with pytest.raises(Unavailable):
            await ElasticsearchSearch(nobody, indices).suggest(ACME, "hello")
        with pytest.raises(Unavailable):
            await ElasticsearchDocuments(nobody, indices).put([document()])


async def test_a_missing_index_is_no_empty_one(search: Search) -> None:
    """Before anything was made, or after everything was lost, it says that it cannot answer."""
    await search.indices.drop(*await search.indices.names())
    with pytest.raises(Unavailable):
        await search.engine.search(ACME, Query())
    with pytest.raises(IndexLost):
        await search.documents.put([document()])


async def test_strange_fields_are_refused_not_guessed(search: Search) -> None:
    """The mapping is strict: what this code does not know by name does not get in."""
    index, *_ = await search.indices.written("schedule")
    with pytest.raises(ApiError, match="strict"):
        await search.client.index(index=index, document={"id": "a", "surprise": 1})
