"""What could not be applied: read by operators, and by the feed when it is replayed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from horae.projections.statements import statements

if TYPE_CHECKING:
    from horae.projections.schema import Connection

_SQL = statements("projector")


@dataclass(frozen=True, slots=True)
class ParkedEvent:
    """An event that was not applied. `error` None: it only queues behind the one that could not be."""

    family: UUID
    position: int
    stream: UUID
    version: int
    tenant: str
    event: str
    error: str | None


async def parked_of(conn: Connection, family: UUID) -> list[ParkedEvent]:
    """One family's, by position."""
    return [_parked(record) for record in await conn.fetch(_SQL["parked_of"], family)]


async def list_parked(conn: Connection) -> list[ParkedEvent]:
    """Everything parked, by position."""
    return [_parked(record) for record in await conn.fetch(_SQL["list_parked"])]


def _parked(record: Any) -> ParkedEvent:
    return ParkedEvent(**record)
