"""What the learner knows: recipients' counts, calibration, and the present model, as rows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from horae.projections.statements import statements

if TYPE_CHECKING:
    from horae.projections.schema import Connection

_SQL = statements("habits")


async def habits_of(conn: Connection, tenant: str, refs: Sequence[str]) -> dict[str, Any]:
    """Rows of `habits` by recipient_ref; of whom nothing is known is absent."""
    rows = await conn.fetch(_SQL["habits_of"], tenant, list(refs))
    return {row["recipient_ref"]: row for row in rows}


async def habits_sample(conn: Connection, tenant: str, most: int) -> list[Any]:
    """At most so many of the tenant's rows, always the same ones first, each with its recipient's `segment`."""
    return list(await conn.fetch(_SQL["habits_sample"], tenant, most))


async def calibrations_of(conn: Connection, tenant: str) -> list[Any]:
    """The tenant's rows of `calibrations`, by shard."""
    return list(await conn.fetch(_SQL["calibrations_of"], tenant))


async def model_of(conn: Connection, tenant: str) -> Any:
    """The tenant's present model: version, fitted_at, model (JSON text), position; None: none was fitted."""
    return await conn.fetchrow(_SQL["model_of"], tenant)


async def learning_tenants(conn: Connection) -> list[Any]:
    """(tenant, fitted_at, position) of all tenants of whom anything is known; for the owner's role."""
    return list(await conn.fetch(_SQL["learning_tenants"]))


async def trust_in_models(conn: Connection, tenants: Collection[str]) -> list[Any]:
    """(tenant, version, people, trust) of these tenants' present models; for the owner's role."""
    return list(await conn.fetch(_SQL["trust_in_models"], list(tenants)))


async def due_windows(conn: Connection, at: datetime, most: int) -> list[tuple[UUID, str]]:
    """(occurrence, tenant) of the oldest attribution windows that have ended; for the owner's role."""
    return [(row["occurrence"], row["tenant"]) for row in await conn.fetch(_SQL["due_windows"], at, most)]


async def next_window(conn: Connection) -> datetime | None:
    """When the next attribution window ends; None: nothing is awaited. For the owner's role."""
    found: datetime | None = await conn.fetchval(_SQL["next_window"])
    return found
