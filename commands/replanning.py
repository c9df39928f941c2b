"""Looks at schedules anew after what they are planned by has changed, and says which of them moved.

Place in the flow: routes of calendars and recipients, the refresher -> *here* -> one command for each schedule.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog

from horae.commands.context import Call
from horae.commands.schedules import Cause, Schedules
from horae.domain.errors import HoraeError

log = structlog.get_logger(__name__)

#: Schedules that are looked at together.
_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whose next slot moved, and who could not be looked at."""

    moved: list[UUID]
    failed: list[UUID]


async def replan(schedules: Schedules, call: Call, wanted: Sequence[UUID], cause: Cause, detail: str) -> Outcome:
    """Plan the next slot of each anew if it moves. What one schedule fails at keeps no other from its turn."""
    found = Outcome([], [])
    for start in range(0, len(wanted), _AT_ONCE):
        chunk = wanted[start : start + _AT_ONCE]
        results = await asyncio.gather(
            *(schedules.replan(call, schedule, cause, detail) for schedule in chunk), return_exceptions=True
        )
        for schedule, result in zip(chunk, results, strict=True):
            if isinstance(result, Exception):
                if not isinstance(result, HoraeError):  # a fault of ours, which the others must not pay for
                    log.error("schedule_not_replanned", schedule=str(schedule), cause=cause, exc_info=result)
                found.failed.append(schedule)
            elif isinstance(result, BaseException):
                raise result
            elif result:
                found.moved.append(schedule)
    return found
