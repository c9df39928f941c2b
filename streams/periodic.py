"""Side work of a worker that looks at something every so often: it waits for a database that is away, and hurts nobody.

Place in the flow: auditor, refresher, learner -> *here*. (Recovery has a loop of its own: it is woken, too.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Never

import structlog

from horae.domain.errors import Busy, Unavailable
from horae.projections.away import DATABASE_AWAY

log = structlog.get_logger(__name__)


async def look_every(every_s: float, who: str, look: Callable[[], Awaitable[object]]) -> Never:
    """Call `look` after `every_s` seconds, again and again, until cancelled; `who` names it in the log."""
    while True:
        await asyncio.sleep(every_s)
        try:
            await look()
        except (*DATABASE_AWAY, Unavailable, Busy) as error:
            log.warning("side_work_waits", who=who, error=str(error))
        except Exception:
            # Whoever works beside the dispatcher must not take it down.
            log.exception("side_work_failed", who=who)
