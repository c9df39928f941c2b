"""The indexers' side of Elasticsearch: documents in, checksums out.

Place in the flow: indexer, re-index -> *ElasticsearchDocuments* -> bulk requests.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from itertools import islice
from typing import Any

import structlog
from elasticsearch import AsyncElasticsearch

from horae.domain.errors import Unavailable
from horae.infra.elasticsearch.connection import BULK_TIMEOUT_S, found_or, told
from horae.infra.elasticsearch.indices import Indices, as_document, as_stored
from horae.projections.search.documents import Document, Kind
from horae.projections.search.ports import Checksum

#: Documents of one bulk request; large ones make it shorter.
_BULK, _BULK_BYTES = 500, 5_000_000
_PAGE = 1_000
#: A later version is there already.
_STALE = 409
#: What a document is made of again.
_KEPT = ["id", "tenant", "version", "deleted", "body"]

_log = structlog.get_logger(__name__)


class IndexLost(Unavailable):
    """There is no index to put documents into: it was never made, or was lost and has to be filled again."""


class IndexGone(Unavailable):
    """The index that was to be written is not there any more."""


class ElasticsearchDocuments:
    """Implements `DocumentStore`."""

    def __init__(self, client: AsyncElasticsearch, indices: Indices) -> None:
        self._client = client
        self._slow = client.options(request_timeout=BULK_TIMEOUT_S)
        self._indices = indices
        #: Documents that the server did not take; each is a fault in the code.
        self.refused = 0
        #: Bulk requests that the server has answered.
        self.answered = 0

    async def put(self, documents: Sequence[Document]) -> None:
        """See `DocumentStore.put`. Raises `IndexLost` where there is no index.

        Which indices are written is asked now, after the documents were made: so an index that begins to be filled
        later than this sees rows at least as new as these documents. One that is being filled gets them first, to be
        seen at once: so nobody who saw them in the one that is read misses them when the new one takes its place.
        """
        kinds: dict[Kind, list[Document]] = {}
        for document in documents:
            kinds.setdefault(document.kind, []).append(document)
        for kind, those in kinds.items():
            indices = await self._indices.written(kind)
            if not indices:
                raise IndexLost(f"There is no index for documents of kind {kind}.")
            read = await self._indices.read(kind) if len(indices) > 1 else indices
            for index in sorted(indices, key=lambda index: index in read):
                try:
                    await self.put_into(index, those, seen=index not in read)
                except IndexGone:
                    # Replaced meanwhile: the one in its place was filled after these documents were made.
                    if index in await self._indices.written(kind):
                        raise

    async def put_into(self, index: str, documents: Sequence[Document], *, seen: bool = False) -> None:
        """Into one index, whichever is written. `seen`: searches see them when this returns, which costs."""
        left = iter(documents)
        while batch := list(islice(left, _BULK)):
            operations: list[dict[str, Any]] = []
            size = 0
            for document in batch:
                # 0 is no version to the server, and no position of ours.
                action = {"_id": document.id, "version": document.version, "version_type": "external_gte"}
                operations += [{"index": action}, as_stored(document)]
                size += sum(len(text) for _, text in document.texts)
                if size > _BULK_BYTES:
                    await self._bulk(index, operations, seen=seen)
                    operations, size = [], 0
            if operations:
                await self._bulk(index, operations, seen=seen)

    async def _bulk(self, index: str, operations: list[dict[str, Any]], *, seen: bool) -> None:
        with told():
            answer = await self._slow.bulk(
                index=Indices.writer(index), operations=operations, require_alias=True, refresh=seen
            )
        self.answered += 1
        if not answer["errors"]:
            return
        for item in answer["items"]:
            (done,) = item.values()
            status = done["status"]
            if status == 404:
                raise IndexGone(f"The index {index} is gone.")
            if status in (429, 503):
                raise Unavailable(f"Elasticsearch answers {status} to a document.")
            if status >= 400 and status != _STALE:
                # Whatever the API accepts must be indexed: a fault in the code, for which nothing else should wait.
                self.refused += 1
                _log.error("document_refused", index=index, id=done["_id"], reason=str(done.get("error"))[:500])

    async def refresh(self) -> None:
        """See `DocumentStore.refresh`."""
        for kind in ("schedule", "occurrence", "audit"):
            for index in await self._indices.written(kind):
                await self.refresh_index(index)

    async def refresh_index(self, index: str) -> None:
        """So that everything put into it is found."""
        with told():
            await self._slow.indices.refresh(index=index)

    async def checksum(self, kind: Kind) -> Checksum:
        """See `DocumentStore.checksum`; of the index that is read."""
        documents, total = 0, 0
        async for document in self.between(self._indices.read_alias(kind), kind, ""):
            documents, total = documents + 1, (total + document.sum()) % 2**64
        return Checksum(documents, total)

    async def now(self, index: str, kind: Kind, ids: Sequence[str]) -> dict[str, Document]:
        """The documents of these ids as they are at this moment, refreshed or not; tombstones too."""
        with told():
            answer = await self._slow.mget(index=index, ids=list(ids), source_includes=_KEPT)
        return {doc["_id"]: as_document(kind, doc["_source"]) for doc in answer["docs"] if doc.get("found")}

    async def between(
        self, index: str, kind: Kind, after: str, upto: str | None = None, *, deleted: bool = False
    ) -> AsyncIterator[Document]:
        """The documents with ids behind `after`, up to `upto` inclusive, by id."""
        while True:
            bounds: dict[str, str] = {"gt": after, **({"lte": upto} if upto is not None else {})}
            query: dict[str, Any] = {"bool": {"filter": [{"range": {"id": bounds}}]}}
            if not deleted:
                query["bool"]["must_not"] = [{"term": {"deleted": True}}]
            request = self._slow.search(
                index=index,
                query=query,
                sort=[{"id": "asc"}],
                size=_PAGE,
                source_includes=_KEPT,
                track_total_hits=False,
            )
            answer = await found_or(request, {"hits": {"hits": []}})
            hits = answer["hits"]["hits"]
            for hit in hits:
                yield as_document(kind, hit["_source"])
            if len(hits) < _PAGE:
                return
            after = hits[-1]["_source"]["id"]
