"""What the auditor asks of the read models: where they stand still although something ought to have happened.

Over all tenants; for the owner's role.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from horae.domain.ids import occurrence_id
from horae.domain.timing import Slot
from horae.projections.statements import statements

if TYPE_CHECKING:
    from collections.abc import Sequence

    from horae.projections.schema import Connection

_SQL = statements("audit")
_LOWEST = UUID(int=0)


class Suspect(NamedTuple):
    """A slot about which nothing has been heard."""

    schedule: UUID
    tenant: str
    occurrence: UUID
    slot: Slot
    due_at: datetime
    #: "overdue", "unwatched" (no due row will bring it), or the status in which the occurrence is stuck.
    state: str


class Series(NamedTuple):
    """A recurring schedule that ought to fire."""

    schedule: UUID
    tenant: str
    recipient_zone: str | None


class MissedRun(NamedTuple):
    """Slots that were missed, from the first to the last, both included."""

    schedule: UUID
    first: Slot
    last: Slot


async def overdue_pointers(conn: Connection, before: datetime, limit: int) -> list[Suspect]:
    """Slots of active schedules that were due before that and are not claimed, earliest first."""
    return [_pointer(record) for record in await conn.fetch(_SQL["overdue_pointers"], before, limit)]


async def unwatched_pointers(conn: Connection, limit: int, after: UUID = _LOWEST) -> list[Suspect]:
    """Slots of active schedules that no due row will bring, by schedule."""
    return [_pointer(record) for record in await conn.fetch(_SQL["unwatched_pointers"], after, limit)]


async def stuck_occurrences(conn: Connection, before: datetime, claimed_before: datetime, limit: int) -> list[Suspect]:
    """Occurrences that wait since before the one instant, or are under way since before the other."""
    records = await conn.fetch(_SQL["stuck_occurrences"], before, claimed_before, limit)
    return [
        Suspect(
            r["schedule"], r["tenant"], r["occurrence"], Slot(local=r["slot"], fold=r["fold"]), r["due_at"], r["status"]
        )
        for r in records
    ]


async def active_series(conn: Connection, after: UUID, limit: int) -> list[Series]:
    """The next series by id."""
    return [Series(*record) for record in await conn.fetch(_SQL["active_series"], after, limit)]


async def missed_runs(conn: Connection, schedules: Sequence[UUID], since: datetime) -> list[MissedRun]:
    """The runs of missed slots on record of these schedules, those which end before `since` (naive local) left out."""
    return [
        MissedRun(r["schedule"], Slot(local=r["slot"], fold=r["fold"]), Slot(local=r["to_slot"], fold=r["to_fold"]))
        for r in await conn.fetch(_SQL["missed_runs"], schedules, since)
    ]


def _pointer(r: Any) -> Suspect:
    slot = Slot(local=r["slot"], fold=r["fold"])
    state = "unwatched" if r["unwatched"] else "overdue"
    occurrence = occurrence_id(r["schedule"], slot.local, slot.fold)
    return Suspect(r["schedule"], r["tenant"], occurrence, slot, r["due_at"], state)
