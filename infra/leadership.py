"""One of many does it: whoever holds an advisory lock of PostgreSQL, as long as its session lives.

Place in the flow: the workers of the stack profile, for what one of them is enough for. (The relay, whose lock also
guards a position, has its own in `relaying.py`, and a worker's life in `incarnation.py`.)
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

import asyncpg
import structlog

from horae.infra import locks
from horae.projections.away import DATABASE_AWAY

#: The class of these locks; see `incarnation.py` and `relaying.py` for the others.
LEADER_LOCKS = 7304
AUDITOR = 1
LEARNER = 2
CALENDARS = 3

_RECONNECT_S = 0.5
_CHECK_S = 5.0


_log = structlog.get_logger(__name__)


async def by_one(dsn: str, role: int, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Wait until `role` is ours, then do `work` as long as it is; until cancelled. Raises what `work` raises."""
    while True:
        try:
            session = await asyncpg.connect(dsn, server_settings={"application_name": "horae-leader"})
        except DATABASE_AWAY:
            await asyncio.sleep(_RECONNECT_S)
            continue
        try:
            with contextlib.suppress(*DATABASE_AWAY):
                await locks.wait_for(session, LEADER_LOCKS, role)
                _log.info("leads", role=role)
                await _while_held(session, work)
        finally:
            session.terminate()
        await asyncio.sleep(_RECONNECT_S)


async def _while_held(
    session: asyncpg.Connection[asyncpg.Record], work: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    working = asyncio.create_task(work())
    holding = asyncio.create_task(_until_lost(session))
    try:
        await asyncio.wait({working, holding}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        for task in (working, holding):
            task.cancel()
        await asyncio.gather(working, holding, return_exceptions=True)


async def _until_lost(session: asyncpg.Connection[asyncpg.Record]) -> None:
    """Found out by asking, so that a machine that vanished is noticed too."""
    while True:
        await asyncio.sleep(_CHECK_S)
        try:
            await session.execute("SELECT 1", timeout=_CHECK_S)
        except DATABASE_AWAY:
            _log.warning("leadership_lost")
            return
