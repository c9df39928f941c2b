"""Side work of a worker that looks at something every so often: it waits for a database that is away, and hurts nobody.

Place in the flow: auditor, refresher, renewer, learner -> *here*. (Recovery has a loop of its own: it is woken, too.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Never, TypeVar

import structlog

from horae.domain.errors import Busy, Unavailable
from horae.projections.away import DATABASE_AWAY

T = TypeVar("T")

log = structlog.get_logger(__name__)

_LONGEST_PAUSE_S = 3600.0


async def look_every(every_s: float, who: str, look: Callable[[], Awaitable[object]]) -> Never:
    """Call `look` after `every_s` seconds, again and again, until cancelled; `who` names it in the log."""
    while True:
        await asyncio.sleep(every_s)
        await _look(who, look)


async def until_done(pause_s: float, who: str, look: Callable[[], Awaitable[bool]]) -> None:
    """Call `look` until it says that all is done: at once, after `pause_s` seconds, then after twice as long each."""
    while not await _look(who, look):
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


async def _look(who: str, look: Callable[[], Awaitable[T]]) -> T | None:
    """What it found; None: it could not look."""
    try:
        return await look()
    except (*DATABASE_AWAY, Unavailable, Busy) as error:
        log.warning("side_work_waits", who=who, error=str(error))
    except Exception:
        # Whoever works beside the dispatcher must not take it down.
        log.exception("side_work_failed", who=who)
    return None
