"""Puts the worker together: store, feed, dispatcher, recovery, auditor and, on a virtual clock, the stepper.

Place in the flow: worker_process -> `open_work` -> streams. What it opens it closes, in reverse order.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from horae.commands.occurrences import Occurrences
from horae.commands.ports import Clock
from horae.infra.build import build_info
from horae.infra.channels.log import LogChannel
from horae.infra.channels.webhook import WebhookChannel
from horae.infra.clock import SystemClock, VirtualClock
from horae.infra.eventstore import PostgresEventStore
from horae.infra.heartbeat import Beat, beat_on
from horae.infra.ids import NewIds
from horae.infra.incarnation import Incarnation, Lives
from horae.infra.secrets import Refs
from horae.infra.settings import Settings
from horae.infra.watchdog import watch_progress
from horae.projections import schema
from horae.streams.auditor import Auditor, AuditorConfig
from horae.streams.channels import Channel, Channels
from horae.streams.dispatcher import Dispatcher, DispatcherConfig, PostgresDueSource
from horae.streams.faults import Faults
from horae.streams.feed import Feed
from horae.streams.metrics import Metrics
from horae.streams.recovery import Recovery, RecoveryConfig
from horae.streams.stepper import Applying, SteppedClock, Stepper


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


@asynccontextmanager
async def open_work(settings: Settings, incarnation: Incarnation) -> AsyncIterator[Work]:
    """Everything that the one working worker does. `settings` have the owner's DSN and the master key."""
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
        pool = await schema.create_pool(dsn, min_size=2, max_size=max(4, settings.postgres_max_connections // 10))
        stack.push_async_callback(pool.close)
        refs = Refs(bytes.fromhex(settings.encryption_key.get_secret_value()))
        occurrences = Occurrences(store, clock, NewIds(), settings.default_zone, metrics.count_ended)
        channels = Channels(
            log=LogChannel(settings.data),
            webhook=WebhookChannel(
                refs, real_clock.now, allow_private_targets=settings.allow_private_targets, user_agent="Horae"
            ),
            kafka=_kafka_channel(settings),
        )
        stack.push_async_callback(channels.aclose)
        registry = CollectorRegistry()
        metrics = Metrics(registry)
        source = PostgresDueSource(pool)
        dispatcher = Dispatcher(
            DispatcherConfig(
                in_flight=settings.max_concurrent_executions, max_sleep_s=settings.execution_interval_ms / 1000
            ),
            occurrences,
            clock,
            source,
            channels,
            incarnation.id,
            metrics=metrics,
            faults=Faults.from_environment(os.environ),
            may_claim=lambda: incarnation.holds,
        )

        applying = Applying()
        feed = Feed(store, lambda: schema.connect(dsn), [dispatcher.on_applied, applying.on_applied])
        metrics.feeds.watch("log", feed)

        def measure() -> Beat:
            text = generate_latest(registry).decode()
            return Beat(feed.position, dispatcher.in_flight, dispatcher.queue_size, text)

        work = Work()
        work.add("dispatcher", _run_and_stop(dispatcher))
        if virtual is not None and stepped is not None:
            stepper = Stepper(virtual, stepped, dispatcher, source, applying, store.head)
            work.add("stepper", stepper.run())
        recovery = Recovery(
            RecoveryConfig(), pool, Lives(pool), occurrences, incarnation.id, metrics, dispatcher.under_way
        )
        work.add("recovery", recovery.run())
        auditor = Auditor(AuditorConfig(), pool, store, clock, metrics, settings.default_zone)
        work.add("auditor", auditor.run())
        work.add("feed", feed.run())
        work.add("heartbeat", beat_on(pool, incarnation.id, measure))
        work.add("progress", watch_progress(lambda: feed.position, store.head, settings.health_check_interval_s))
        yield work


def _kafka_channel(settings: Settings) -> Channel | None:
    """The channel of `kafka:` addresses, where the installation offers any; only then Kafka's client is imported."""
    topics = settings.offered.kafka_topics
    if not topics:
        return None
    from horae.infra.channels.kafka import KafkaChannel

    return KafkaChannel(settings.kafka_brokers, topics, prefix=settings.kafka_topic_prefix)


async def _run_and_stop(dispatcher: Dispatcher) -> None:
    """Dispatch until cancelled; then let what is under way end, within the dispatcher's own bound."""
    running = asyncio.create_task(dispatcher.run(), name="dispatcher-loop")
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        await dispatcher.stop()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        raise
