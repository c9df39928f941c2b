"""Puts the commands together that more than one process gives: the API, and the worker that refreshes calendars.

Place in the flow: `wiring.py`, `refreshing.py` -> *here* -> `commands`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from horae.commands.calendars import Calendars
from horae.commands.recipients import Recipients
from horae.commands.schedules import Schedules
from horae.infra.neighbours import ReadModelNeighbours
from horae.infra.sendtimes import PostgresSendTimes
from horae.infra.standing import ReadModelStanding

if TYPE_CHECKING:
    import asyncpg

    from horae.commands.ports import Clock, EventStore, Ids, Refs
    from horae.infra.settings import Settings
    from horae.projections.progress import Progress


@dataclass(frozen=True, slots=True)
class Commands:
    """What plans and stores, and what it reads by."""

    standing: ReadModelStanding
    recipients: Recipients
    send_times: PostgresSendTimes
    schedules: Schedules
    calendars: Calendars


def commands_over(
    settings: Settings,
    store: EventStore,
    pool: asyncpg.Pool[asyncpg.Record],
    progress: Progress,
    *,
    clock: Clock,
    ids: Ids,
    refs: Refs,
) -> Commands:
    """By the installation's settings; `pool` reads the read models, `progress` tells how far they are."""
    standing = ReadModelStanding(pool, progress, store)
    recipients = Recipients(store, clock, ids, refs)
    send_times = PostgresSendTimes(pool)
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
        settings.default_retry,
        settings.offered,
        settings.standard,
        send_times,
    )
    calendars = Calendars(store, clock, ids, standing, settings.standard)
    return Commands(standing, recipients, send_times, schedules, calendars)
