"""Puts a worker together: store, feed, dispatcher, recovery, auditor and, on a virtual clock, the stepper.

Place in the flow: worker_process -> `open_work` -> streams. What it opens it closes, in reverse order. The parts are
the same where many workers share the work (`working_stack.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Collection, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
from prometheus_client import CollectorRegistry, generate_latest

from horae.commands.engagements import Engagements
from horae.commands.models import Models
from horae.commands.occurrences import Occurrences
from horae.commands.ports import Clock
from horae.commands.recipients import Recipients
from horae.infra.build import build_info
from horae.infra.channels.log import LogChannel
from horae.infra.channels.webhook import WebhookChannel
from horae.infra.clock import SystemClock, VirtualClock
from horae.infra.companions import ReadModelCompanions
from horae.infra.connections import worker_pool
from horae.infra.eventstore import PostgresEventStore
from horae.infra.heartbeat import Beat, beat_on
from horae.infra.ids import NewIds
from horae.infra.incarnation import Incarnation, Lives
from horae.infra.refreshing import refresh_calendars
from horae.infra.secrets import Refs
from horae.infra.sendtimes import PostgresSendTimes
from horae.infra.settings import Settings
from horae.infra.watchdog import watch_progress
from horae.infra.watches import FIRST_LOOK_S, ClockWatch, ZoneDataWatch, watch
from horae.projections import schema
from horae.projections.due import ALL_SHARDS
from horae.streams.auditor import Auditor, AuditorConfig
from horae.streams.channels import Channel, Channels
from horae.streams.dispatcher import Dispatcher, DispatcherConfig, Peers, PostgresDueSource
from horae.streams.faults import Faults
from horae.streams.feed import Feed
from horae.streams.learner import Learner, LearnerConfig
from horae.streams.metrics import Metrics
from horae.streams.recovery import Recovery, RecoveryConfig
from horae.streams.stepper import Applying, SteppedClock, Stepper

#: A server that does not answer a feed's statement for so long is taken for gone: longer than the longest that they are
#: seen to take, on a machine that is busy.
_PATIENCE_S = 60.0
#: So long a transaction of a feed may do nothing: each of its statements follows the one before at once.
_IDLE_IN_TRANSACTION_S = 5


@dataclass(slots=True)
class Work:
    """What a working worker runs, in the order in which it is stopped."""

    services: list[tuple[str, Coroutine[Any, Any, None]]] = field(default_factory=list)

    def add(self, name: str, service: Coroutine[Any, Any, None]) -> None:
        """Run `service` as long as we work."""
        self.services.append((name, service))

    def tasks(self) -> list[asyncio.Task[None]]:
        """Start everything."""
        return [asyncio.create_task(service, name=name) for name, service in self.services]


@dataclass(slots=True)
class Parts:
    """What every working worker has, whatever feeds it."""

    settings: Settings
    incarnation: Incarnation
    dsn: str
    store: PostgresEventStore
    pool: asyncpg.Pool[asyncpg.Record]
    #: For statements that take long: those of the auditor and the learner, one connection each.
    long: asyncpg.Pool[asyncpg.Record]
    clock: Clock
    #: The installation's virtual clock, and ours; None on real time.
    virtual: VirtualClock | None
    stepped: SteppedClock | None
    occurrences: Occurrences
    channels: Channels
    registry: CollectorRegistry
    metrics: Metrics
    source: PostgresDueSource
    faults: Faults
    refs: Refs
    real_clock: SystemClock

    def dispatcher(self, shards: Collection[int] = ALL_SHARDS, peers: Peers | None = None) -> Dispatcher:
        """The dispatcher, which has these shards to begin with."""
        settings = self.settings
        return Dispatcher(
            DispatcherConfig(
                in_flight=settings.max_concurrent_executions, max_sleep_s=settings.execution_interval_ms / 1000
            ),
            self.occurrences,
            self.clock,
            self.source,
            self.channels,
            self.incarnation.id,
            metrics=self.metrics,
            shards=shards,
            peers=peers,
            faults=self.faults,
            may_claim=lambda: self.incarnation.holds,
        )

    def recovery(self, dispatcher: Dispatcher) -> Recovery:
        """Takes over what the dead left; any worker may, and several at once do no harm."""
        return Recovery(
            RecoveryConfig(),
            self.pool,
            Lives(self.pool),
            self.occurrences,
            self.incarnation.id,
            self.metrics,
            dispatcher.under_way,
        )

    def auditor(self) -> Auditor:
        """Compares what should have ended with what did; one is enough."""
        return Auditor(
            AuditorConfig(),
            self.long,
            self.store,
            self.clock,
            self.metrics,
            self.settings.default_zone,
            self.settings.standard,
        )

    def learner(self) -> Learner:
        """Closes attribution windows and fits models; one is enough."""
        ids = NewIds()
        recipients = Recipients(self.store, self.clock, ids, self.refs)
        fitting = PostgresSendTimes(self.long, patience_s=self.settings.postgres_long_statement_timeout_ms / 1000)
        return Learner(
            LearnerConfig(),
            self.long,
            Engagements(self.store, self.clock, ids, self.refs, recipients, self.settings.default_zone),
            Models(self.store, self.clock, ids, fitting),
            self.clock,
            self.metrics,
        )

    def add_watches(self, work: Work) -> None:
        """Look now and then at what is outside: newer zone data, and a clock that is right. Not on virtual time."""
        settings = self.settings
        if settings.virtual:
            return
        if settings.zone_update_url:
            zones = ZoneDataWatch(settings.zone_update_url, settings.zone_update_interval_s, self.registry)
            work.add("zone-data", watch(zones, FIRST_LOOK_S))
        if settings.ntp_server is not None:
            work.add("clock", watch(ClockWatch(settings.ntp_server, self.registry), 0))

    async def refresh_calendars(self) -> None:
        """Follow what calendars subscribe to; one is enough."""
        await refresh_calendars(
            self.settings,
            self.store,
            self.pool,
            clock=self.clock,
            real_clock=self.real_clock,
            refs=self.refs,
            metrics=self.metrics,
        )

    async def connect(self) -> schema.Connection:
        """A connection to the read models, for a feed: others wait for the positions that its transactions move.

        A worker that is stopped in the middle of one loses it after a while, so that they need not wait for long.
        """
        connection = await schema.connect(self.dsn, patience_s=_PATIENCE_S)
        await connection.execute(f"SET idle_in_transaction_session_timeout = '{_IDLE_IN_TRANSACTION_S}s'")
        return connection

    def beat(self, applied: int, dispatcher: Dispatcher, shards: Collection[int] = ()) -> Beat:
        """How we stand at this moment."""
        text = generate_latest(self.registry).decode()
        return Beat(applied, dispatcher.in_flight, dispatcher.queue_size, text, shards)


@asynccontextmanager
async def open_parts(settings: Settings, incarnation: Incarnation) -> AsyncIterator[Parts]:
    """Open them. `settings` have the owner's DSN and the master key."""
    assert settings.encryption_key is not None
    dsn = settings.owner_dsn()
    async with AsyncExitStack() as stack:
        real_clock = SystemClock()
        virtual = await stack.enter_async_context(VirtualClock(dsn)) if settings.virtual else None
        stepped = SteppedClock(virtual) if virtual else None
        clock: Clock = stepped or real_clock
        registry = CollectorRegistry()
        build_info(registry, settings)
        metrics = Metrics(registry)
        store = PostgresEventStore(
            dsn,
            registry=registry,
            queue_events=settings.queue_size,
            patience_s=settings.postgres_connection_timeout_ms / 1000,
        )
        await stack.enter_async_context(store)
        patience_s = settings.postgres_connection_timeout_ms / 1000
        pool = await schema.create_pool(dsn, min_size=2, max_size=worker_pool(settings), patience_s=patience_s)
        stack.push_async_callback(pool.close)
        # Most workers neither audit nor learn: of those none is open.
        statement_s = settings.postgres_long_statement_timeout_ms / 1000
        long = await schema.create_pool(dsn, min_size=0, max_size=2, patience_s=patience_s, statement_s=statement_s)
        stack.push_async_callback(long.close)
        refs = Refs(bytes.fromhex(settings.encryption_key.get_secret_value()))
        channels = Channels(
            log=LogChannel(settings.data),
            webhook=WebhookChannel(
                refs, real_clock.now, allow_private_targets=settings.allow_private_targets, user_agent="Horae"
            ),
            kafka=_kafka_channel(settings),
        )
        stack.push_async_callback(channels.aclose)
        yield Parts(
            settings,
            incarnation,
            dsn,
            store,
            pool,
            long,
            clock,
            virtual,
            stepped,
            Occurrences(
                store,
                clock,
                NewIds(),
                settings.default_zone,
                metrics.count_ended,
                settings.standard,
                ReadModelCompanions(pool),
            ),
            channels,
            registry,
            metrics,
            PostgresDueSource(pool),
            Faults.from_environment(os.environ),
            refs,
            real_clock,
        )


@asynccontextmanager
async def open_work(settings: Settings, incarnation: Incarnation) -> AsyncIterator[Work]:
    """Everything that the one working worker does: the whole log, every shard, and virtual time if that is asked."""
    async with open_parts(settings, incarnation) as parts:
        dispatcher, store = parts.dispatcher(), parts.store
        applying = Applying()
        feed = Feed(store, parts.connect, [dispatcher.on_applied, applying.on_applied])
        parts.metrics.feeds.watch("log", feed)
        work = Work()
        work.add("dispatcher", dispatch(dispatcher))
        if parts.virtual is not None and parts.stepped is not None:
            stepper = Stepper(
                parts.virtual, parts.stepped, dispatcher, parts.source, applying, store.head, parts.learner()
            )
            work.add("stepper", stepper.run())
        else:
            work.add("learner", parts.learner().run())
        work.add("recovery", parts.recovery(dispatcher).run())
        work.add("auditor", parts.auditor().run())
        parts.add_watches(work)
        work.add("calendars", parts.refresh_calendars())
        work.add("feed", feed.run())
        work.add("heartbeat", beat_on(parts.pool, incarnation.id, lambda: parts.beat(feed.position, dispatcher)))
        work.add("progress", watch_progress(lambda: feed.position, store.head, settings.health_check_interval_s))
        yield work


def _kafka_channel(settings: Settings) -> Channel | None:
    """The channel of `kafka:` addresses, where the installation offers any; only then Kafka's client is imported."""
    topics = settings.offered.kafka_topics
    if not topics:
        return None
    from horae.infra.channels.kafka import KafkaChannel
    from horae.infra.kafka.security import security_of

    return KafkaChannel(
        settings.kafka_brokers, topics, prefix=settings.kafka_topic_prefix, security=security_of(settings)
    )


async def dispatch(dispatcher: Dispatcher) -> None:
    """Dispatch until cancelled; then let what is under way end, within the dispatcher's own bound."""
    running = asyncio.create_task(dispatcher.run(), name="dispatcher-loop")
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        await dispatcher.stop()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        raise
