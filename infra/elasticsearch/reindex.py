"""Makes an index anew from the rows of the read models, beside the one that is read, and puts it in its place.

Place in the flow: `horae rebuild --search`, and an indexer that finds no index, or one of other code. The new index is
written by the indexer from the moment it exists, and filled by a walk through the rows; versions settle who wins. Then
both are compared, document by document, and one request moves the aliases: no reader ever sees a half-filled index.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import asyncpg
import structlog

from horae.domain.errors import Unavailable
from horae.infra.elasticsearch.documents import ElasticsearchDocuments
from horae.infra.elasticsearch.indices import Indices
from horae.projections import schema
from horae.projections.search.documents import Document, Kind
from horae.projections.search.ports import KINDS, Checksum
from horae.projections.search.sources import documents_after, documents_of

if TYPE_CHECKING:
    from horae.projections.schema import Connection

_log = structlog.get_logger(__name__)

#: One at a time, per database.
_LOCK = 7235418830166533
_PAGE = 500

OnProgress = Callable[[Kind, int], None]
"""Told how many documents of a kind are in the new index."""


class ReindexRunning(Unavailable):
    """Another process makes the search index anew: wait for it."""


@dataclass(slots=True)
class Comparison:
    """One kind's documents, in the index and as the rows say, at the same versions."""

    kind: Kind
    index: str
    #: Those that both have at the same version: by the rows, and by the index.
    rows: Checksum = field(default_factory=lambda: Checksum(0, 0))
    indexed: Checksum = field(default_factory=lambda: Checksum(0, 0))
    #: Changed while we looked: the index is further than the row that was read. Not compared.
    moving: int = 0
    #: Missing in the index, or older there than the rows.
    behind: int = 0
    #: At the same version but not the same.
    differing: int = 0
    #: In the index, but of no row.
    strays: int = 0

    @property
    def same(self) -> bool:
        """Does the index say what the rows say?"""
        return self.rows == self.indexed and not (self.behind or self.differing or self.strays)


class Reindex:
    """For one installation. `dsn` names the owner's role."""

    def __init__(self, dsn: str, indices: Indices, documents: ElasticsearchDocuments) -> None:
        self._dsn, self._indices, self._documents = dsn, indices, documents

    @property
    def answered(self) -> int:
        """See `streams.indexing.Engine`."""
        return self._documents.answered

    async def prepare(self) -> bool:
        """Fill what is missing or of other code; True if anything was. See `streams.indexing.Engine`."""
        kinds = [kind for kind in KINDS if not (await self._indices.written(kind) and await self._is_current(kind))]
        if kinds:
            _log.info("search_filling", kinds=kinds)
            await self.run(kinds)
        return len(kinds) == len(KINDS)

    async def put(self, documents: Sequence[Document]) -> None:
        """See `DocumentStore.put`."""
        await self._documents.put(documents)

    async def _is_current(self, kind: Kind) -> bool:
        return bool(await self._indices.read(kind)) and await self._indices.is_current(kind)

    async def run(self, kinds: Sequence[Kind] = KINDS, on_progress: OnProgress | None = None) -> list[Comparison]:
        """Make these kinds' indices anew and swap them in. Raises `ReindexRunning`, `Unavailable`, asyncpg's errors.

        After any failure the index that was read is read still; the unfinished one is deleted by the next run.
        """
        async with self._alone() as conn:
            return [await self._renew(conn, kind, on_progress) for kind in kinds]

    async def compare(self, kind: Kind) -> Comparison:
        """Compare the index that is read with the rows, and change nothing."""
        conn = await schema.connect(self._dsn)
        try:
            (index,) = await self._indices.read(kind) or [self._indices.read_alias(kind)]
            await self._documents.refresh_index(index)
            return await self._compare(conn, kind, index, mend=False)
        finally:
            await conn.close()

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[Connection]:
        conn = await schema.connect(self._dsn)
        try:
            if not await conn.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
                raise ReindexRunning("Another process makes the search index anew.", hint="Wait for it.")
            yield conn
        finally:
            if isinstance(conn, asyncpg.Connection):
                await conn.close(timeout=5)

    async def _renew(self, conn: Connection, kind: Kind, on_progress: OnProgress | None) -> Comparison:
        read = await self._indices.read(kind)
        await self._indices.drop(*(index for index in await self._indices.written(kind) if index not in read))
        index = await self._indices.make(kind)
        filled, after = 0, ""
        while True:
            documents, following = await documents_after(conn, kind, after, _PAGE)
            await self._documents.put_into(index, documents)
            filled += len(documents)
            if on_progress is not None:
                on_progress(kind, filled)
            if following is None:
                break
            after = following
        await self._documents.refresh_index(index)
        compared = await self._compare(conn, kind, index, mend=True)
        # Shows what was just mended; what came meanwhile is seen already, see `ElasticsearchDocuments.put`.
        await self._documents.refresh_index(index)
        old = await self._indices.swap(kind, index)
        await self._indices.drop(*old)
        log = _log.info if compared.same else _log.error
        log("search_filled", kind=kind, index=index, documents=filled, same=compared.same)
        return compared

    async def _compare(self, conn: Connection, kind: Kind, index: str, *, mend: bool) -> Comparison:
        found = Comparison(kind, index)
        after: str = ""
        while True:
            rows, following = await documents_after(conn, kind, after, _PAGE)
            indexed = {d.id: d async for d in self._documents.between(index, kind, after, following, deleted=True)}
            behind = [document for document in rows if not _judge(found, document, indexed.pop(document.id, None))]
            if behind:
                # While traffic flows the indexer may not have brought them yet, or brought them unseen by searches.
                if mend:
                    await self._documents.put_into(index, behind)
                now = await self._documents.now(index, kind, [document.id for document in behind])
                found.behind += sum(not _judge(found, document, now.get(document.id)) for document in behind)
            left = [document.id for document in indexed.values() if not document.deleted]
            if left:
                # Made since the rows were read, or of no row at all.
                new = {document.id for document in await documents_of(conn, kind, left)}
                found.moving += len(new)
                found.strays += len(left) - len(new)
            if following is None:
                return found
            after = following


def _judge(found: Comparison, row: Document, indexed: Document | None) -> bool:
    """Compare the index's document with the row's and count it; False: the index is behind the row."""
    if indexed is None or indexed.version < row.version:
        return False
    if indexed.version > row.version:
        found.moving += 1
        return True
    ours, theirs = row.sum(), indexed.sum() if not indexed.deleted else 0
    found.differing += ours != theirs
    found.rows = Checksum(found.rows.documents + 1, (found.rows.sum + ours) % 2**64)
    found.indexed = Checksum(found.indexed.documents + 1, (found.indexed.sum + theirs) % 2**64)
    return True
