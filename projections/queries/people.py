"""Recipients and API keys."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from horae.projections.queries.pages import Page, Where, check_limit, decode, page
from horae.projections.statements import statements

if TYPE_CHECKING:
    from horae.projections.schema import Connection

_SQL = statements("queries")


@dataclass(frozen=True, slots=True)
class RecipientRow:
    """A recipient's profile; `attributes` is a JSON text."""

    tenant: str
    id: str
    recipient_ref: str
    zone: str | None
    locale: str | None
    attributes: str
    version: int
    created_at: datetime
    updated_at: datetime
    position: int


@dataclass(frozen=True, slots=True)
class KeyRow:
    """An API key, without its text, which nobody has."""

    id: UUID
    tenant: str
    sha256: str
    prefix: str
    label: str
    scope: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    rotated_from: UUID | None
    successor: UUID | None
    version: int
    position: int

    @property
    def revoked(self) -> bool:
        """It works no more, whenever it was to expire."""
        return self.revoked_at is not None


async def get_recipient(conn: Connection, tenant: str, recipient: str) -> RecipientRow | None:
    """None if the tenant has set no profile of that id."""
    record = await conn.fetchrow(_SQL["get_recipient"], tenant, recipient)
    return None if record is None else RecipientRow(**record)


async def find_key(conn: Connection, sha256: str) -> KeyRow | None:
    """The key with this hash, whichever tenant it belongs to. `conn` is in no transaction that has a tenant."""
    async with conn.transaction(readonly=True):
        # Row-level security shows the one key whose hash is presented.
        await conn.execute("SELECT set_config('horae.key', $1, true)", sha256)
        record = await conn.fetchrow(_SQL["find_key"], sha256)
    return None if record is None else _key(record)


async def list_keys(conn: Connection, tenant: str, *, cursor: str | None = None, limit: int = 50) -> Page[KeyRow]:
    """A tenant's keys, revoked and expired ones too, newest first. Raises `Invalid` (cursor, limit)."""
    check_limit(limit)
    where = Where(limit + 1)
    where.add("k.tenant = {}", tenant)
    behind = decode("keys", cursor)
    if behind:
        where.add("(k.created_at, k.id) < ({}, {})", behind.at, behind.id)
    records = await conn.fetch(_SQL["list_keys"].format(where=where), *where.parameters)
    return page(records, limit, "keys", "created_at", "id", _key)


def _key(record: Any) -> KeyRow:
    return KeyRow(**record)
