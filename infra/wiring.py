"""Puts the API together: every port gets its adapter here, and nowhere else.

Place in the flow: api_process -> `open_services` -> `create_app`. What it opens it closes, in reverse order.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial

from prometheus_client import CollectorRegistry

from horae.api.services import ApiSettings, Services
from horae.commands.engagements import Engagements
from horae.commands.feeds import Feeds
from horae.commands.keys import Keys
from horae.commands.models import Models
from horae.commands.occurrences import Occurrences
from horae.commands.ports import Clock
from horae.commands.recipientmoves import RecipientMoves
from horae.commands.subscriptions import Subscriptions
from horae.commands.zonechanges import ZoneChanges
from horae.infra.build import build_info
from horae.infra.calendarsource import HttpCalendarSource
from horae.infra.clock import SystemClock, VirtualClock
from horae.infra.commanding import commands_over
from horae.infra.connections import api_pool
from horae.infra.eventstore import PostgresEventStore
from horae.infra.ids import NewIds
from horae.infra.importing.reading import calendar_entries
from horae.infra.incarnation import started_at
from horae.infra.lag import LagWatch, cancelled
from horae.infra.outside import outside_checks
from horae.infra.readiness import caught_up_check, executor_check, worker_metrics
from horae.infra.searching import open_search
from horae.infra.secrets import Refs
from horae.infra.settings import Settings
from horae.projections.progress import Progress
from horae.projections.schema import create_pool


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Everything that the API's routes use, on the restricted role. `settings` have both DSNs and the master key."""
    assert settings.api_dsn is not None
    assert settings.encryption_key is not None
    dsn = settings.api_dsn.get_secret_value()
    real_clock = SystemClock()
    async with AsyncExitStack() as stack:
        virtual = await stack.enter_async_context(VirtualClock(dsn)) if settings.virtual else None
        clock: Clock = virtual or real_clock
        registry = CollectorRegistry()
        build_info(registry, settings)
        store = PostgresEventStore(
            dsn,
            registry=registry,
            queue_events=settings.queue_size,
            patience_s=settings.postgres_connection_timeout_ms / 1000,
        )
        await stack.enter_async_context(store)
        pool = await create_pool(
            dsn, min_size=2, max_size=api_pool(settings), patience_s=settings.postgres_connection_timeout_ms / 1000
        )
        stack.push_async_callback(pool.close)
        progress = Progress(dsn)
        await progress.start()
        stack.push_async_callback(progress.stop)
        lag = LagWatch(store.head, time.monotonic)
        stack.push_async_callback(cancelled, asyncio.create_task(lag.run(), name="lag"))
        ids, refs = NewIds(), Refs(bytes.fromhex(settings.encryption_key.get_secret_value()))
        made = commands_over(settings, store, pool, progress, clock=clock, ids=ids, refs=refs)
        source = HttpCalendarSource(allow_private_targets=settings.allow_private_targets)
        shortest = timedelta(seconds=settings.calendar_interval_s)
        yield Services(
            schedules=made.schedules,
            occurrences=Occurrences(store, clock, ids, settings.default_zone, standard=settings.standard),
            recipients=made.recipients,
            engagements=Engagements(store, clock, ids, refs, made.recipients, settings.default_zone),
            send_times=made.send_times,
            models=Models(store, clock, ids, made.send_times),
            calendars=made.calendars,
            subscriptions=Subscriptions(made.calendars, clock, real_clock, source, shortest),
            recipient_moves=RecipientMoves(
                store,
                clock,
                ids,
                refs,
                made.standing,
                made.standing,
                made.recipients,
                settings.default_zone,
                settings.standard,
            ),
            zone_changes=ZoneChanges(
                store, clock, ids, made.standing, made.standing, settings.default_zone, settings.standard
            ),
            # Keys and tokens live on real time, whatever the service's clock says.
            read_calendar=calendar_entries,
            feeds=Feeds(store, real_clock, ids, refs, secrets.token_bytes),
            keys=Keys(store, real_clock, ids, secrets.token_bytes),
            store=store,
            pool=pool,
            progress=progress,
            clock=clock,
            real_clock=real_clock,
            ids=ids,
            refs=refs,
            search=await stack.enter_async_context(open_search(settings, pool)),
            virtual_time=virtual,
            settings=ApiSettings(
                version=settings.service_version,
                default_zone=settings.default_zone,
                rate_limit_requests=settings.rate_limit_requests,
                rate_limit_window_s=settings.rate_limit_window_s,
                api_key_header=settings.api_key_header,
                event_streams_per_key=settings.event_streams_per_key,
                metrics_enabled=settings.metrics_enabled,
            ),
            checks={
                "executor": executor_check(pool),
                "start": caught_up_check(progress, await store.head()),
                # The learner answers within this process; others have a service for it, under this name.
                "ml-service": made.send_times.health,
                **outside_checks(settings, pool, store.head),
            },
            registry=registry,
            lag_seconds=lag.seconds,
            worker_metrics=lambda: worker_metrics(pool),
            # A virtual clock's instants say nothing of when a process started.
            workers_started=partial(started_at, pool) if virtual is None else None,
        )
