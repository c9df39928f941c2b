"""Puts together what follows calendars: the files that they subscribe to, and the settings that they are read by.

Place in the flow: `working.py`, `working_stack.py` -> *here* -> `streams.refreshing`, `streams.renewing`. It writes
calendars and plans schedules anew as the API does, so it needs more of the commands than a worker's other parts.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from horae.commands.calendarplans import CalendarPlans, planned_by
from horae.commands.subscriptions import Subscriptions
from horae.infra.calendarsource import HttpCalendarSource
from horae.infra.commanding import commands_over
from horae.infra.ids import NewIds
from horae.projections.progress import Progress
from horae.streams.refreshing import Refresher, RefresherConfig
from horae.streams.renewing import Renewer

if TYPE_CHECKING:
    import asyncpg

    from horae.commands.ports import Clock, EventStore, Refs
    from horae.infra.settings import Settings
    from horae.streams.metrics import Metrics


async def refresh_calendars(
    settings: Settings,
    store: EventStore,
    pool: asyncpg.Pool[asyncpg.Record],
    *,
    clock: Clock,
    real_clock: Clock,
    refs: Refs,
    metrics: Metrics,
) -> None:
    """Plan by the settings that hold now, and look at what calendars subscribe to, until cancelled; one is enough.

    `settings` and `pool` are those of the owner; `real_clock` is the machine's, by which others' servers go.
    """
    progress = Progress(settings.owner_dsn())
    await progress.start()
    try:
        made = commands_over(settings, store, pool, progress, clock=clock, ids=NewIds(), refs=refs)
        source = HttpCalendarSource(allow_private_targets=settings.allow_private_targets)
        subscriptions = Subscriptions(made.calendars, clock, real_clock, source)
        refresher = Refresher(
            RefresherConfig(), pool, subscriptions, made.schedules, real_clock, metrics, time.monotonic
        )
        plans = CalendarPlans(made.schedules, made.calendars.resolver, made.standing)
        renewer = Renewer(planned_by(settings.standard), pool, plans)
        async with asyncio.TaskGroup() as both:
            both.create_task(renewer.run(), name="renewer")
            both.create_task(refresher.run(), name="refresher")
    finally:
        await progress.stop()
