"""Calendar feeds."""

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
class FeedRow:
    """A feed, without its token, which nobody has. `recipient` None: everybody's schedules."""

    id: UUID
    tenant: str
    sha256: str
    prefix: str
    label: str
    recipient: str | None
    recipient_ref: str | None
    created_at: datetime
    #: The token before the present one works until then.
    old_until: datetime | None
    revoked_at: datetime | None
    version: int
    position: int

    def opens(self, sha256: str, now: datetime) -> bool:
        """Does the token of this hash open it at `now`?"""
        if self.revoked_at is not None:
            return False
        return sha256 == self.sha256 or (self.old_until is not None and now < self.old_until)


async def find_feed(conn: Connection, sha256: str) -> FeedRow | None:
    """The feed whose token has this hash, or had it before, whichever tenant it belongs to; see `FeedRow.opens`.

    `conn` is in no transaction that has a tenant.
    """
    async with conn.transaction(readonly=True):
        # Row-level security shows the one feed whose token's hash is presented.
        await conn.execute("SELECT set_config('horae.feed', $1, true)", sha256)
        record = await conn.fetchrow(_SQL["find_feed"], sha256)
    return None if record is None else _feed(record)


async def list_feeds(conn: Connection, tenant: str, *, cursor: str | None = None, limit: int = 50) -> Page[FeedRow]:
    """A tenant's feeds, revoked ones too, newest first. Raises `Invalid` (cursor, limit)."""
    check_limit(limit)
    where = Where(limit + 1)
    where.add("f.tenant = {}", tenant)
    behind = decode("feeds", cursor)
    if behind:
        where.add("(f.created_at, f.id) < ({}, {})", behind.at, behind.id)
    records = await conn.fetch(_SQL["list_feeds"].format(where=where), *where.parameters)
    return page(records, limit, "feeds", "created_at", "id", _feed)


def _feed(record: Any) -> FeedRow:
    return FeedRow(**record)
