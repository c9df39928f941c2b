"""The relay's process: publishes the log to Kafka, or stands by for the one that does.

Place in the flow: supervisor or `horae relay` -> *here* -> `RelaySeat`, `open_relay`. Of several relays the one that
holds the lock publishes; the next takes over at once when its session ends. A relay that loses its session stops
publishing first, then asks for its place again.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc

import asyncpg
import structlog

from horae.domain.errors import Unavailable
from horae.infra import logging
from horae.infra.heartbeat import beat_on
from horae.infra.kafka.topics import TopicsError, ensure_when_there
from horae.infra.processes.assignment import Assignment
from horae.infra.processes.lifeline import new_loop, run_until, stop_requested
from horae.infra.relaying import RelaySeat, open_relay
from horae.infra.settings import Settings
from horae.infra.watchdog import watch_loop
from horae.streams.relay import Deposed

#: Exit code of a relay whose loop stands still: to be started anew.
STUCK_EXIT_CODE = 75

_log = structlog.get_logger(__name__)


def run(assignment: Assignment) -> int:
    """Publish or stand by until SIGTERM or SIGINT. Gives the exit code."""
    settings = assignment.settings
    logging.configure(settings.log_level, settings.log_format, "relay")
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(_work(settings))


async def _work(settings: Settings) -> int:
    stop = stop_requested()
    watch_loop(asyncio.get_running_loop(), settings.health_check_interval_s, STUCK_EXIT_CODE)
    try:
        await run_until(stop, asyncio.create_task(_prepare_topics(settings), name="topics"))
        while not stop.is_set():
            async with RelaySeat(settings.owner_dsn()) as seat:
                await _serve_term(settings, seat, stop)
    except TopicsError as error:
        _log.error("relay_cannot_work", error=str(error))
        return 1
    except (OSError, Unavailable) as error:
        _log.error("relay_cannot_work", error=str(error))
        return 1
    return 0


async def _prepare_topics(settings: Settings) -> None:
    await ensure_when_there(settings)


async def _serve_term(settings: Settings, seat: RelaySeat, stop: asyncio.Event) -> None:
    """Wait for the place, then publish until `stop`, or until the place is not ours any more."""
    _log.info("relay_stands_by")
    await run_until(stop, asyncio.create_task(seat.take(), name="take-seat"))
    if stop.is_set():
        return
    async with (
        open_relay(settings, seat) as opened,
        asyncpg.create_pool(settings.owner_dsn(), min_size=1, max_size=1) as pool,
    ):
        gc.collect()
        gc.freeze()
        _log.info("relaying", incarnation=seat.incarnation)
        with contextlib.suppress(Deposed):
            # Stopped in this order: publishing first.
            await run_until(
                stop,
                asyncio.create_task(opened.relay.run(), name="relay"),
                asyncio.create_task(beat_on(pool, seat.incarnation, opened.measure, "relay"), name="heartbeat"),
                asyncio.create_task(seat.until_lost(), name="keep-seat"),
            )
    if not stop.is_set():
        _log.warning("seat_lost", incarnation=seat.incarnation)
