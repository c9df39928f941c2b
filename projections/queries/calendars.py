"""Calendars, and who is planned by them or by a recipient's zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from horae.domain.calendar import Subscription
from horae.projections.statements import statements

if TYPE_CHECKING:
    from horae.projections.schema import Connection

_SQL = statements("queries")


@dataclass(frozen=True, slots=True)
class CalendarRow:
    """A calendar as it was written; `definition` is a JSON text."""

    id: str
    definition: str
    #: A JSON text; None: its days are the tenant's own.
    subscription: str | None
    version: int
    created_at: datetime
    updated_at: datetime
    position: int


@dataclass(frozen=True, slots=True)
class SubscribedRow:
    """A calendar that subscribes to a file; `fetched_at` by the machine's clock."""

    tenant: str
    id: str
    url: str
    every_s: float
    fetched_at: datetime
    #: The last look that was stored did not go well.
    failing: bool


async def subscribed_calendars(conn: Connection) -> list[SubscribedRow]:
    """Those of all tenants; the connection is the owner's."""
    found = []
    for record in await conn.fetch(_SQL["subscribed_calendars"]):
        stored = Subscription.model_validate_json(record["subscription"])
        row = (stored.url, stored.every_s, stored.fetched_at, stored.failing_since is not None)
        found.append(SubscribedRow(record["tenant"], record["id"], *row))
    return found


async def list_calendars(conn: Connection, tenant: str, *, after: str = "", limit: int = 50) -> list[CalendarRow]:
    """A tenant's calendars by id, those behind `after`."""
    return [CalendarRow(**record) for record in await conn.fetch(_SQL["list_calendars"], tenant, after, limit)]


async def schedules_following(conn: Connection, tenant: str, recipient_ref: str) -> list[UUID]:
    """Active schedules of a recipient whose next slot follows the zone that they prefer."""
    return [record["id"] for record in await conn.fetch(_SQL["schedules_following"], tenant, recipient_ref)]


async def planned_on_calendars(
    conn: Connection, tenant: str, after: tuple[str, UUID] | None, limit: int
) -> list[tuple[UUID, str, str | None]]:
    """Active schedules that keep to a calendar, by calendar and id, those behind `after`: (id, calendar, its label)."""
    records = await conn.fetch(_SQL["planned_on_calendars"], tenant, *(after or ("", UUID(int=0))), limit)
    return [(record["id"], record["calendar"], record["label"]) for record in records]


async def calendars_planned_by(conn: Connection) -> str | None:
    """By what all that keeps to a calendar was last looked at; None: never. The connection is the owner's."""
    noted: str | None = await conn.fetchval(_SQL["calendars_planned_by"])
    return noted


async def note_calendars_planned_by(conn: Connection, planned_by: str) -> None:
    """All has been looked at by this. The connection is the owner's."""
    await conn.execute(_SQL["note_calendars_planned_by"], planned_by)


async def calendar_names(conn: Connection, tenant: str) -> dict[str, list[str]]:
    """Which calendars of a tenant name which, by id."""
    return {record["id"]: list(record["names"]) for record in await conn.fetch(_SQL["calendar_names"], tenant)}


async def schedules_on(conn: Connection, tenant: str, calendar: str) -> list[UUID]:
    """Schedules, not cancelled, that keep to the calendar or to one that names it, by itself or through others."""
    names = {id_: set(named) for id_, named in (await calendar_names(conn, tenant)).items()}
    users, before = {calendar}, 0
    while len(users) > before:
        before = len(users)
        users |= {id_ for id_, named in names.items() if named & users}
    return [record["id"] for record in await conn.fetch(_SQL["schedules_on_calendars"], tenant, sorted(users))]
