"""Puts the indexer together: store, read models, Elasticsearch and, in the stack profile, the road that brings records.

Place in the flow: indexer_process -> `open_indexing` -> streams/indexing.py. What it opens it closes, in reverse order.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from prometheus_client import CollectorRegistry, generate_latest

from horae.domain.errors import Invalid, Unavailable
from horae.infra.elasticsearch.connection import BULK_TIMEOUT_S, connect
from horae.infra.elasticsearch.documents import ElasticsearchDocuments
from horae.infra.elasticsearch.indices import Indices
from horae.infra.elasticsearch.reindex import Reindex
from horae.infra.eventstore import PostgresEventStore
from horae.infra.heartbeat import Beat, beat_on
from horae.infra.settings import Settings
from horae.infra.watchdog import watch_progress
from horae.projections import schema
from horae.projections.away import DATABASE_AWAY
from horae.projections.search import positions
from horae.streams.indexing import Indexer, IndexerConfig
from horae.streams.indexmetrics import IndexerMetrics
from horae.streams.messages import LOG_TOPIC

SUFFIX = "-search"
#: While records keep coming a batch waits so long for more. A document that several of them change is written once, and
#: what is written is found within Elasticsearch's own second anyway.
_LINGER_S = 0.25


@dataclass(slots=True)
class Indexing:
    """What an indexer process runs."""

    indexer: Indexer
    services: list[tuple[str, Coroutine[Any, Any, None]]] = field(default_factory=list)


@asynccontextmanager
async def open_reindex(settings: Settings) -> AsyncIterator[Reindex]:
    """What makes the search index anew. Raises `Invalid` where search is PostgreSQL's."""
    if settings.elasticsearch_url is None:
        raise Invalid(
            "There is no Elasticsearch to make anew: PostgreSQL searches its own read models.",
            field="ELASTICSEARCH_URL",
            hint="Set ELASTICSEARCH_URL, or run `horae rebuild` without --search.",
        )
    client = connect(settings.elasticsearch_url)
    try:
        indices = Indices(client, settings.elasticsearch_prefix)
        yield Reindex(settings.owner_dsn(), indices, ElasticsearchDocuments(client, indices))
    finally:
        await client.close()


@asynccontextmanager
async def open_indexing(settings: Settings) -> AsyncIterator[Indexing]:
    """Everything that one indexer does. `settings` have the owner's DSN and Elasticsearch's address."""
    async with AsyncExitStack() as stack:
        reindex = await stack.enter_async_context(open_reindex(settings))
        dsn = settings.owner_dsn()
        store = PostgresEventStore(dsn, readers=2, patience_s=settings.postgres_connection_timeout_ms / 1000)
        await stack.enter_async_context(store)
        pool = await schema.create_pool(dsn, min_size=1, max_size=4)
        stack.push_async_callback(pool.close)
        indexer = Indexer(IndexerConfig(batch=settings.kafka_batch_size), store, pool, reindex, time.monotonic)
        incarnation = await pool.fetchval(
            "INSERT INTO sys.incarnations (kind, pid) VALUES ('indexer', $1) RETURNING id", os.getpid()
        )
        registry = CollectorRegistry()
        IndexerMetrics(registry, indexer.counts, lambda: indexer.position, lambda: indexer.failing)

        def measure() -> Beat:
            return Beat(indexer.position, 0, 0, generate_latest(registry).decode())

        work = Indexing(indexer)
        work.services.append(("index", indexer.run()))
        work.services.append(("heartbeat", beat_on(pool, incarnation, measure, "indexer")))
        # Nothing counts before a bulk is answered, and each may take its time.
        interval_s = max(settings.health_check_interval_s, 2 * BULK_TIMEOUT_S)
        work.services.append(("progress", watch_indexing(indexer, pool, interval_s)))
        if settings.profile == "stack":
            work.services.append(("road", _road(settings, indexer)))
        yield work


async def watch_indexing(indexer: Indexer, pool: asyncpg.Pool[asyncpg.Record], interval_s: float) -> None:
    """Raise `Stuck` when documents do not follow the read models for so long, and nothing is away that they need.

    An engine that is slow is none that stands still: each request that it answers is progress.
    """

    async def indexable() -> int:
        if indexer.excused:
            raise Unavailable("the indexer waits")
        try:
            async with asyncio.timeout(interval_s), pool.acquire() as conn:
                return min((await positions.applied(conn)).values(), default=0)
        except (*DATABASE_AWAY, TimeoutError) as error:
            raise Unavailable(str(error)) from error

    await watch_progress(lambda: indexer.position, indexable, interval_s, done=lambda: indexer.engine.answered)


async def _road(settings: Settings, indexer: Indexer) -> None:
    # Imported where there is a Kafka only: it costs a second.
    from horae.infra.faust.app import add_log_agent, make_app
    from horae.infra.faust.road import Partitions, Road
    from horae.infra.kafka.security import security_of

    topic = settings.kafka_topic_prefix + LOG_TOPIC

    def make() -> Any:
        app = make_app(settings, suffix=SUFFIX)
        add_log_agent(app, topic, indexer.take, settings.kafka_batch_size, _LINGER_S)
        return app

    async def assigned(_: Partitions) -> None:
        """Whoever has a partition indexes it: nothing to hand over."""

    await Road(make, settings.kafka_brokers, topic, assigned, security_of(settings)).run()
