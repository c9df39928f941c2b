"""Looks at schedules anew after what they are planned by has changed, and says which of them moved.

Place in the flow: routes of calendars and recipients -> *here* -> commands, one for each schedule.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from uuid import UUID

import structlog

from horae.api.models.schedules import Replanned
from horae.api.services import Services
from horae.commands.context import Call
from horae.commands.schedules import Cause
from horae.domain.errors import HoraeError

log = structlog.get_logger(__name__)

#: Schedules that are looked at together.
_AT_ONCE = 32


async def replan(services: Services, call: Call, schedules: Sequence[UUID], cause: Cause, detail: str) -> Replanned:
    """Plan the next slot of each anew if it moves. What one schedule fails at keeps no other from its turn."""
    moved: list[UUID] = []
    failed: list[UUID] = []
    for start in range(0, len(schedules), _AT_ONCE):
        chunk = schedules[start : start + _AT_ONCE]
        results = await asyncio.gather(
            *(services.schedules.replan(call, schedule, cause, detail) for schedule in chunk), return_exceptions=True
        )
        for schedule, result in zip(chunk, results, strict=True):
            if isinstance(result, Exception):
                if not isinstance(result, HoraeError):  # a fault of ours, which the others must not pay for
                    log.error("schedule_not_replanned", schedule=str(schedule), cause=cause, exc_info=result)
                failed.append(schedule)
            elif isinstance(result, BaseException):
                raise result
            elif result:
                moved.append(schedule)
    return Replanned.model_construct(checked=len(schedules), moved=moved, failed=failed)
