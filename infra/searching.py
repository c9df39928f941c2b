"""Which engine answers a search: Elasticsearch, and while it is away PostgreSQL.

Place in the flow: wiring -> `open_search` -> `Services.search`.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import asyncpg
import structlog

from horae.domain.errors import Unavailable
from horae.infra.settings import Settings
from horae.projections.search.cursors import owner
from horae.projections.search.documents import Kind
from horae.projections.search.ports import Count, Found, Query, SearchIndex
from horae.projections.search.postgres import PostgresSearch

#: After a failure the first engine is left alone for so long, so that not every question waits for it.
_REST_S = 5.0

T = TypeVar("T")
_log = structlog.get_logger(__name__)


class SearchWithSubstitute:
    """Implements `SearchIndex`: asks `first`, and `second` while that one cannot answer. The answer says who did."""

    def __init__(
        self, first: SearchIndex, second: SearchIndex, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._first, self._second, self._monotonic = first, second, monotonic
        self._away_until = float("-inf")

    @property
    def name(self) -> str:
        """Of the one that is asked first."""
        return self._first.name

    async def search(self, tenant: str, query: Query) -> Found:
        """See `SearchIndex.search`."""
        if owner(query) == self._second.name:
            return await self._second.search(tenant, query)
        return await self._ask(lambda engine: engine.search(tenant, query))

    async def suggest(self, tenant: str, prefix: str, kind: Kind = "schedule") -> list[Count]:
        """See `SearchIndex.suggest`."""
        return await self._ask(lambda engine: engine.suggest(tenant, prefix, kind))

    async def _ask(self, question: Callable[[SearchIndex], Awaitable[T]]) -> T:
        if self._monotonic() >= self._away_until:
            try:
                return await question(self._first)
            except Unavailable as error:
                self._away_until = self._monotonic() + _REST_S
                _log.warning("search_substituted", engine=self._first.name, by=self._second.name, error=str(error))
        return await question(self._second)


@asynccontextmanager
async def open_search(settings: Settings, pool: asyncpg.Pool[asyncpg.Record]) -> AsyncIterator[SearchIndex]:
    """The engine of this installation. `pool` is of the API's role."""
    substitute = PostgresSearch(pool)
    if settings.elasticsearch_url is None:
        yield substitute
        return
    # Imported where there is an Elasticsearch only: it costs half a second.
    from horae.infra.elasticsearch.connection import connect
    from horae.infra.elasticsearch.engine import ElasticsearchSearch
    from horae.infra.elasticsearch.indices import Indices

    client = connect(settings.elasticsearch_url)
    try:
        engine = ElasticsearchSearch(client, Indices(client, settings.elasticsearch_prefix))
        yield SearchWithSubstitute(engine, substitute)
    finally:
        await client.close()
