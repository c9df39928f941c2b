"""Puts together what looks at the files that calendars subscribe to.

Place in the flow: `working.py`, `working_stack.py` -> *here* -> `streams.refreshing`. It writes calendars and plans
schedules anew as the API does, so it needs more of the commands than a worker's other parts.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from horae.commands.calendars import Calendars
from horae.commands.recipients import Recipients
from horae.commands.schedules import Schedules
from horae.commands.subscriptions import Subscriptions
from horae.infra.calendarsource import HttpCalendarSource
from horae.infra.ids import NewIds
from horae.infra.neighbours import ReadModelNeighbours
from horae.infra.sendtimes import PostgresSendTimes
from horae.infra.standing import ReadModelStanding
from horae.projections.progress import Progress
from horae.streams.refreshing import Refresher, RefresherConfig

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
    """Look at what calendars subscribe to, until cancelled; one worker is enough.

    `settings` and `pool` are those of the owner; `real_clock` is the machine's, by which others' servers go.
    """
    ids = NewIds()
    progress = Progress(settings.owner_dsn())
    await progress.start()
    try:
        standing = ReadModelStanding(pool, progress, store)
        recipients = Recipients(store, clock, ids, refs)
        schedules = Schedules(
            store,
            clock,
            ids,
            refs,
            standing,
            standing,
            ReadModelNeighbours(pool, progress, refs),
            recipients,
            settings.default_zone,
            standard=settings.standard,
            send_times=PostgresSendTimes(pool),
        )
        subscriptions = Subscriptions(
            Calendars(store, clock, ids, standing, settings.standard),
            clock,
            real_clock,
            HttpCalendarSource(allow_private_targets=settings.allow_private_targets),
        )
        refresher = Refresher(RefresherConfig(), pool, subscriptions, schedules, real_clock, metrics, time.monotonic)
        await refresher.run()
    finally:
        await progress.stop()
