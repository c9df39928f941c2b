"""The API's process: uvicorn around the application, on a socket that the supervisor may own.

Place in the flow: supervisor or `horae api` -> *here* -> `open_services`, `create_app`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import time
from collections.abc import Iterator

import structlog
import uvicorn
from fastapi import FastAPI

from horae.api.app import create_app
from horae.domain.errors import Unavailable
from horae.infra import logging
from horae.infra.processes.assignment import Assignment
from horae.infra.processes.installation import listen
from horae.infra.processes.lifeline import new_loop, stop_requested
from horae.infra.settings import Settings
from horae.infra.wiring import open_services

#: How long a stop waits for requests under way.
_DRAIN_S = 2

_log = structlog.get_logger(__name__)


class _Server(uvicorn.Server):
    """Leaves the signals to us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing: `stop_requested` has them."""
        yield


def run(assignment: Assignment) -> int:
    """Serve until SIGTERM or SIGINT. Gives the exit code."""
    settings = assignment.settings
    logging.configure(settings.log_level, settings.log_format, "api")
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(_serve(assignment))


async def _serve(assignment: Assignment) -> int:
    stop = stop_requested()
    settings = assignment.settings
    if assignment.listen_fd is not None:
        listener = socket.socket(fileno=assignment.listen_fd)
    else:
        listener = listen(settings.host, settings.port)
    began = time.monotonic()
    try:
        async with open_services(settings) as services:
            app = create_app(services)
            config = uvicorn.Config(
                app,
                access_log=False,
                log_config=None,
                http="httptools",
                lifespan="on",
                server_header=False,
                timeout_graceful_shutdown=_DRAIN_S,
                backlog=2048,
            )
            server = _Server(config)
            serving = asyncio.create_task(server.serve(sockets=[listener]), name="uvicorn")
            asked = asyncio.create_task(stop.wait(), name="stop")
            watching = asyncio.create_task(app.state.monitor.watch(settings.health_check_interval_s), name="health")
            commands = asyncio.create_task(_serve_commands(app, settings), name="commands")
            # What exists now lives as long as the process: the collector need not look at it again.
            gc.collect()
            gc.freeze()
            _log.info("api_started", after_s=round(time.monotonic() - began, 2))
            await asyncio.wait({serving, asked}, return_when=asyncio.FIRST_COMPLETED)
            asked.cancel()
            watching.cancel()
            commands.cancel()
            server.should_exit = True
            await serving
            await asyncio.gather(commands, return_exceptions=True)
    except Unavailable as error:
        _log.error("api_cannot_start", error=str(error))
        return 1
    return 0 if stop.is_set() else 1


async def _serve_commands(app: FastAPI, settings: Settings) -> None:
    """Carry out commands that come by Kafka as well, where the installation has it."""
    if settings.profile != "stack":
        return
    # Kafka's client is imported only where it is used.
    from horae.infra.kafka.commanding import serve

    await serve(app, settings)
