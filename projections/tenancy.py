"""The one place where a reader is bound to a tenant.

Place in the flow: api -> *tenant_connection* -> queries. Queries also name the tenant themselves; row-level security
holds even where one forgets to.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg

from horae.domain.errors import Unavailable
from horae.projections.away import NO_ANSWER

if TYPE_CHECKING:
    from horae.projections.schema import Connection


@asynccontextmanager
async def tenant_connection(pool: asyncpg.Pool[asyncpg.Record], tenant: str) -> AsyncIterator[Connection]:
    """A read-only transaction that sees this tenant's rows and nobody else's; all its queries see one snapshot.

    The pool's connections belong to the API's role, which row-level security binds. Raises `Unavailable` where the
    database gives no answer, or none in time: so whoever has stored something before knows that error from a fault.
    """
    try:
        async with pool.acquire() as conn, conn.transaction(isolation="repeatable_read", readonly=True):
            await conn.execute("SELECT set_config('horae.tenant', $1, true)", tenant)
            yield conn
    except NO_ANSWER as error:
        if isinstance(error, asyncpg.DataError):
            raise
        raise Unavailable("The database does not answer.", hint="Send the request again in a moment.") from error
