"""The worker's process: feeds the read models, dispatches what is due, recovers what the dead left, audits the rest.

Place in the flow: supervisor or `horae worker` -> *here* -> streams. Of several workers the one that holds the feeder's
lock works; the others stand by, ready, and take over at once when it is released. In the stack profile all of them work
and share the shards, unless time is virtual: then each step has to wait for all that it led to, which one can know.
"""

from __future__ import annotations

import asyncio
import gc
import time
from contextlib import AbstractAsyncContextManager

import structlog

from horae.domain.errors import Unavailable
from horae.infra import logging
from horae.infra.incarnation import Incarnation
from horae.infra.processes.assignment import Assignment
from horae.infra.processes.lifeline import new_loop, run_until, stop_requested
from horae.infra.settings import Settings
from horae.infra.watchdog import Stuck, watch_loop
from horae.infra.working import Work, open_work

#: Exit code of a worker that found itself stuck: to be started anew.
STUCK_EXIT_CODE = 75

_log = structlog.get_logger(__name__)


def run(assignment: Assignment) -> int:
    """Work or stand by until SIGTERM or SIGINT. Gives the exit code."""
    settings = assignment.settings
    logging.configure(settings.log_level, settings.log_format, "worker")
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(_work(settings))


async def _work(settings: Settings) -> int:
    stop = stop_requested()
    alone = settings.profile == "embedded" or settings.virtual
    watch_loop(asyncio.get_running_loop(), settings.health_check_interval_s, STUCK_EXIT_CODE)
    try:
        while not stop.is_set():
            # A life of its own for each term: what one leaves open is recovered like a dead worker's, by whoever leads
            # next. Under the id of a process that merely stands by it would look as if somebody still worked on it.
            async with Incarnation(settings.owner_dsn(), alone=alone) as incarnation:
                await _serve_term(settings, incarnation, stop, alone=alone)
    except Stuck as stuck:
        _log.error("worker_stuck", error=str(stuck))
        return STUCK_EXIT_CODE
    except (OSError, Unavailable) as error:
        _log.error("worker_cannot_work", error=str(error))
        return 1
    return 0


async def _serve_term(settings: Settings, incarnation: Incarnation, stop: asyncio.Event, *, alone: bool) -> None:
    """Wait until we lead, if one must, then work until `stop` or until another worker leads."""
    began = time.monotonic()
    if alone:
        await run_until(stop, asyncio.create_task(incarnation.lead(), name="lead"))
    if stop.is_set():
        return
    async with _opened(settings, incarnation, alone=alone) as work:
        # What exists now lives as long as the process: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        _log.info("working", incarnation=incarnation.id, after_s=round(time.monotonic() - began, 2))
        keeping = asyncio.create_task(incarnation.keep(), name="keep-locks")
        await run_until(stop, *work.tasks(), keeping)


def _opened(settings: Settings, incarnation: Incarnation, *, alone: bool) -> AbstractAsyncContextManager[Work]:
    if alone:
        return open_work(settings, incarnation)
    # Faust costs more than a second, and only this profile has it.
    from horae.infra.working_stack import open_shared_work

    return open_shared_work(settings, incarnation)
