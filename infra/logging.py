"""How every process tells what it does: one JSON object per line in service, readable lines on a terminal.

Place in the flow: called first by each process. Modules log through `structlog.get_logger(__name__)` with an event name
and facts; request id, tenant and position come from the bound context (`structlog.contextvars`). Libraries that use the
standard library's logging come out in the same form.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, Literal

import structlog

LogFormat = Literal["auto", "json", "console"]

#: Libraries whose own talk at info is noise in a service's log.
_QUIET = (
    *("asyncio", "aiohttp.access", "httpx", "httpcore", "uvicorn.access", "uvicorn.error", "tzlocal", "dateparser"),
    "elastic_transport",
)
#: Libraries whose warnings are too.
_QUIETER = ("asyncpg.pool", "faust", "mode")

#: Never with local variables: they hold keys and people's content.
_tracebacks = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))


def configure(level: str, form: LogFormat, process: str) -> None:
    """Send everything from `level` on to standard error; `process` is bound to every line.

    `auto`: readable when standard error is a terminal, else JSON.
    """
    readable = form == "console" or (form == "auto" and sys.stderr.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
    ]
    render: list[Any] = (
        [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                timestamp_key="at",
                exception_formatter=structlog.dev.RichTracebackFormatter(show_locals=False),
            )
        ]
        if readable
        else [_tracebacks, structlog.processors.JSONRenderer(default=str)]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    # They warn with a page of traceback per connection while a server restarts, which our own lines tell in one each.
    for name in _QUIETER:
        logging.getLogger(name).setLevel(logging.ERROR)
    # Says thirty times a second that the cluster is away, as an error each time.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)
