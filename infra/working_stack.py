"""Puts one worker of many together: fed by Kafka through Faust, by the event store where Kafka is silent.

Place in the flow: worker_process -> `open_shared_work` -> streams. Its parts are those of the worker that works alone
(`working.py`); what is added is what they share the work by: the group's partitions, and knowing each other.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import faust

from horae.infra.faust.app import add_log_agent, make_app
from horae.infra.faust.road import Partitions, Road
from horae.infra.heartbeat import Beat, beat_on
from horae.infra.incarnation import Incarnation
from horae.infra.kafka.security import security_of
from horae.infra.kafka.topics import topics_of
from horae.infra.leadership import AUDITOR, CALENDARS, LEARNER, by_one
from horae.infra.peers import Living
from horae.infra.settings import Settings
from horae.infra.watchdog import watch_progress
from horae.infra.working import Work, dispatch, open_parts
from horae.streams.dispatcher import Dispatcher
from horae.streams.duty import Duty, DutyConfig
from horae.streams.shardfeed import ShardFeed


@asynccontextmanager
async def open_shared_work(settings: Settings, incarnation: Incarnation) -> AsyncIterator[Work]:
    """Everything that one worker of many does. `settings` have the owner's DSN and the master key."""
    topic = topics_of(settings).log
    async with open_parts(settings, incarnation) as parts:
        living = Living(parts.pool, incarnation.id)
        dispatcher = parts.dispatcher(shards=(), peers=living)
        feed = ShardFeed(parts.store, parts.connect, [dispatcher.on_applied], time.monotonic)
        reassigned = asyncio.Event()
        duty = Duty(DutyConfig(), feed, dispatcher, living, time.monotonic, reassigned.set)

        def app() -> faust.App:
            made = make_app(settings)
            add_log_agent(made, topic, duty.take, settings.kafka_batch_size)
            return made

        async def assigned(partitions: Partitions) -> None:
            await duty.assign(partitions.owned, partitions.count)

        road = Road(app, settings.kafka_brokers, topic, assigned, security_of(settings))
        parts.metrics.feeds.watch("kafka", feed, lambda: road.rebalances, lambda: len(duty.directly))

        def measure() -> Beat:
            return parts.beat(feed.position, dispatcher, duty.assigned)

        work = Work()
        # Stopped first: the others take our shards when they miss it, while we bring to an end what is under way.
        work.add("heartbeat", beat_on(parts.pool, incarnation.id, measure, changed=reassigned))
        work.add("dispatcher", _dispatch_and_hand_over(dispatcher, road, duty))
        recovery = parts.recovery(dispatcher)

        def looked() -> None:
            duty.review()
            if living.missed_lately:
                recovery.wake()

        work.add("recovery", recovery.run())
        work.add("auditor", by_one(parts.dsn, AUDITOR, parts.auditor().run))
        work.add("learner", by_one(parts.dsn, LEARNER, parts.learner().run))
        parts.add_watches(work)
        work.add("calendars", by_one(parts.dsn, CALENDARS, parts.refresh_calendars))
        work.add("duty", duty.run())
        work.add("peers", living.run(looked))
        work.add("progress", watch_progress(lambda: duty.position, parts.store.head, settings.health_check_interval_s))
        try:
            yield work
        finally:
            await feed.close()


async def _dispatch_and_hand_over(dispatcher: Dispatcher, road: Road, duty: Duty) -> None:
    """Dispatch and follow the road until cancelled; then say that our shards are free, and end both side by side."""
    both = [
        asyncio.create_task(dispatch(dispatcher), name="dispatch"),
        asyncio.create_task(road.run(), name="road"),
    ]
    try:
        done, _ = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        duty.leave()
        for task in both:
            task.cancel()
        await asyncio.gather(*both, return_exceptions=True)
