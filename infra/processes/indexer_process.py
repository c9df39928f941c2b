"""The indexer's process: keeps the documents in Elasticsearch up to date. Nothing waits for it, whatever befalls it.

Place in the flow: supervisor or `horae indexer` -> *here* -> `open_indexing`. Any number may run: each indexes what its
partitions bring.
"""

from __future__ import annotations

import asyncio
import gc

import structlog

from horae.domain.errors import Invalid, Unavailable
from horae.infra import logging
from horae.infra.indexing import open_indexing
from horae.infra.processes.assignment import Assignment
from horae.infra.processes.lifeline import new_loop, run_until, stop_requested
from horae.infra.settings import Settings
from horae.infra.watchdog import Stuck, watch_loop

#: Exit code of an indexer that stands still: to be started anew.
STUCK_EXIT_CODE = 75

_log = structlog.get_logger(__name__)


def run(assignment: Assignment) -> int:
    """Index until SIGTERM or SIGINT. Gives the exit code."""
    settings = assignment.settings
    logging.configure(settings.log_level, settings.log_format, "indexer")
    if settings.profile == "stack":
        from horae.infra.faust.app import quieten

        quieten()
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(_work(settings))


async def _work(settings: Settings) -> int:
    stop = stop_requested()
    watch_loop(asyncio.get_running_loop(), settings.health_check_interval_s, STUCK_EXIT_CODE)
    try:
        async with open_indexing(settings) as work:
            gc.collect()
            gc.freeze()
            _log.info("indexing", prefix=settings.elasticsearch_prefix)
            await run_until(stop, *(asyncio.create_task(service, name=name) for name, service in work.services))
    except Stuck as stuck:
        _log.error("indexer_stuck", error=str(stuck))
        return STUCK_EXIT_CODE
    except (OSError, Unavailable, Invalid) as error:
        _log.error("indexer_cannot_work", error=str(error))
        return 1
    return 0
