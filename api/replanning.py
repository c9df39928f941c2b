"""Looks at schedules anew after what they are planned by has changed, and tells it.

Place in the flow: routes of calendars and recipients -> *here* -> commands, and back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar
from uuid import UUID

from pydantic import BaseModel

from horae.api.models.schedules import Replanned
from horae.api.services import Services
from horae.commands import replanning
from horae.commands.context import Call
from horae.commands.recipientmoves import Moved
from horae.commands.schedules import Cause

#: An answer with a `position`.
WithPosition = TypeVar("WithPosition", bound=BaseModel)


async def replan(services: Services, call: Call, schedules: Sequence[UUID], cause: Cause, detail: str) -> Replanned:
    """See `commands.replanning.replan`."""
    found = await replanning.replan(services.schedules, call, schedules, cause, detail)
    return Replanned.model_construct(checked=len(schedules), moved=found.moved, failed=found.failed)


async def reaching(services: Services, shown: WithPosition, replanned: Replanned | None) -> WithPosition:
    """The answer with a position that covers the slots that moved too: reads that wait for it see these."""
    if replanned is None or not replanned.moved:
        return shown
    return shown.model_copy(update={"position": await services.store.head()})


def replanned_shown(moved: Moved | None) -> Replanned | None:
    """What another zone of a recipient's did to the schedules that follow it."""
    if moved is None:
        return None
    ids = list(dict.fromkeys(move.schedule_id for move in moved.moves))
    return Replanned.model_construct(checked=moved.checked, moved=ids, failed=list(moved.failed), change=moved.change)
