"""Search in PostgreSQL: the engine that is always there, alone in the embedded profile and the substitute elsewhere.

Place in the flow: api -> *PostgresSearch* -> read models. Schedules are found by an index of their words. Of
occurrences and of what happened it reads the newest few thousand, because keeping their words would slow down firing;
its answer then says that it is not exact, and a narrower question reaches further back.

The tenant is bound in one place: `tenant_connection`, by whose setting row-level security and the two functions that
look into the index tell whose rows these are.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import asyncpg

from horae.domain.errors import Unavailable
from horae.projections.away import DATABASE_AWAY
from horae.projections.queries.pages import Where
from horae.projections.search import scanning
from horae.projections.search.cursors import Place, decode, encode, refuse
from horae.projections.search.documents import Kind, micros, schedule_document
from horae.projections.search.ports import (
    COMPLETIONS,
    COUNTED,
    FACETS,
    Count,
    Facets,
    Found,
    Query,
)
from horae.projections.search.scanning import SCANNED, hit_of, scan_audit, scan_occurrences
from horae.projections.search.words import Clause, parse, words_of
from horae.projections.statements import statements
from horae.projections.tenancy import tenant_connection

if TYPE_CHECKING:
    from horae.projections.schema import Connection

_SQL = statements("search")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Nobody waits longer for an answer, and no question keeps the server busy longer.
_TIMEOUT_MS = 5_000
_SOURCE = "schedules AS s JOIN standings AS x ON x.id = s.id"
_FOUND_SOURCE = (
    "find_schedules({}::text::tsquery) AS f JOIN schedules AS s ON s.id = f.schedule JOIN standings AS x ON x.id = s.id"
)


class PostgresSearch:
    """Implements `SearchIndex`. `pool` belongs to the restricted role, with search_path = read."""

    name = "postgresql"

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], *, scanned: int = SCANNED) -> None:
        """`scanned`: how many of the newest occurrences or events a question looks at."""
        self._pool = pool
        self._scanned = scanned

    async def search(self, tenant: str, query: Query) -> Found:
        """See `SearchIndex.search`."""
        query.check()
        clauses, behind = parse(query.q), decode(query, self.name)
        async with self._tenant(tenant) as conn:
            if query.kind == "schedule":
                return await self._schedules(conn, tenant, query, clauses, behind)
            scan = scan_occurrences if query.kind == "occurrence" else scan_audit
            documents, complete = await scan(conn, tenant, query, self._scanned)
            return await scanning.search(documents, query, clauses, behind, engine=self.name, complete=complete)

    async def suggest(self, tenant: str, prefix: str, kind: Kind = "schedule") -> list[Count]:
        """See `SearchIndex.suggest`."""
        given = parse(prefix)
        words = words_of(prefix)
        if not words or prefix[-1:].isspace():
            return []
        before = parse(" ".join(prefix.split()[:-1])) if len(prefix.split()) > 1 else ()
        clauses = (*before, Clause((words[-1],), prefix=True))
        async with self._tenant(tenant) as conn:
            if kind == "schedule" and given:
                rows = await conn.fetch(
                    "SELECT word, count FROM complete_word($1::text::tsquery, $2, $3)",
                    tsquery_of(clauses),
                    words[-1],
                    COMPLETIONS,
                )
                return [Count(row["word"], row["count"]) for row in rows]
            scan = scan_occurrences if kind == "occurrence" else scan_audit
            documents, _ = await scan(conn, tenant, Query(kind=kind), self._scanned)
            return await scanning.suggest(documents, clauses, words[-1])

    async def _schedules(
        self, conn: Connection, tenant: str, query: Query, clauses: tuple[Clause, ...], behind: Place | None
    ) -> Found:
        where = Where(tenant, query.limit + 1)
        where.add("s.tenant = $1")
        source, score = _SOURCE, "0::float8"
        if clauses:
            where.parameters.append(tsquery_of(clauses))
            source, score = _FOUND_SOURCE.format("$3"), "f.score::float8"
        _conditions(where, query)
        counting = str(where), [tenant, COUNTED + 1, *where.parameters[2:]]
        at = "x.due_at" if query.by == "due" else "s.created_at"
        ordering = {
            "due": "x.due_at, s.id",
            "created": "s.created_at DESC, s.id DESC",
            "relevance": f"{score} DESC, s.created_at DESC, s.id DESC",
        }[query.by]
        if query.by == "due":
            where.add("x.due_at IS NOT NULL")
        if behind:
            place = (_EPOCH + timedelta(microseconds=behind.at), _uuid(query, behind.id))
            if query.by == "relevance":
                where.add(f"({score}, s.created_at, s.id) < ({{}}::float8, {{}}, {{}})", behind.score, *place)
            else:
                where.add(f"({at}, s.id) {'>' if query.by == 'due' else '<'} ({{}}, {{}})", *place)
        sql = _SQL["find_schedules"].format(score=score, at=at, source=source, where=where, ordering=ordering)
        rows = await conn.fetch(sql, *where.parameters)
        sql = _SQL["count_schedules"].format(source=source, where=counting[0])
        counted = await conn.fetch(sql, *counting[1])
        shown = rows[: query.limit]
        records = await conn.fetch(_SQL["schedules_by_id"], [row["id"] for row in shown])
        documents = {document.id: document for document in map(schedule_document, map(dict, records))}
        total, facets = _facets(counted)
        return Found(
            tuple(hit_of(documents[str(row["id"])], clauses) for row in shown),
            facets,
            min(total, COUNTED),
            total <= COUNTED,
            _next(query, shown[-1], self.name) if len(rows) > query.limit else None,
            self.name,
        )

    @asynccontextmanager
    async def _tenant(self, tenant: str) -> AsyncIterator[Connection]:
        try:
            async with tenant_connection(self._pool, tenant) as conn:
                await conn.execute(f"SET LOCAL statement_timeout = {_TIMEOUT_MS}")
                try:
                    yield conn
                except asyncpg.QueryCanceledError:
                    raise Unavailable(
                        "The search took too long.",
                        hint="Narrow it: by a status, a tag, a range of time, or rarer words.",
                    ) from None
        except DATABASE_AWAY as error:
            if isinstance(error, asyncpg.DataError | asyncpg.SyntaxOrAccessError):
                raise
            raise Unavailable("Search does not answer.", hint="Ask again in a moment.") from error


def tsquery_of(clauses: tuple[Clause, ...]) -> str:
    """The clauses as PostgreSQL reads a tsquery. Words are letters and digits: nothing in them needs quoting."""
    parts = []
    for clause in clauses:
        words = [*clause.words[:-1], clause.words[-1] + (":*" if clause.prefix else "")]
        parts.append(f"{'!' if clause.negated else ''}({' <-> '.join(words)})")
    return " & ".join(parts)


def _conditions(where: Where, query: Query) -> None:
    if query.status:
        where.add("x.tenant = $1 AND x.status = ANY ({}::text[])", list(query.status))
    if query.recipient_ref is not None:
        where.add("s.recipient_ref = {}", query.recipient_ref)
    if query.channel is not None:
        exact = ":" in query.channel
        where.add("s.channel = {}" if exact else "split_part(s.channel, ':', 1) = {}", query.channel)
    for tag in query.tags:
        where.add("EXISTS (SELECT FROM schedule_tags AS t WHERE t.schedule = s.id AND t.tag = {})", tag)
    if query.priority:
        where.add("s.priority = ANY ({}::int[])", list(query.priority))
    for condition, value in (
        ("x.zone = {}", query.zone),
        ("s.type = {}", query.type),
        ("x.due_at >= {}", query.due_from),
        ("x.due_at < {}", query.due_to),
        ("s.created_at >= {}", query.created_from),
        ("s.created_at < {}", query.created_to),
    ):
        if value is not None:
            where.add(condition, value)


def _facets(counted: list[Any]) -> tuple[int, Facets]:
    total, values, hours = 0, {name: list[Count]() for name in FACETS}, list[Count]()
    for row in counted:
        if row["facet"] == "total":
            total = row["count"]
        else:
            into = hours if row["facet"] == "due" else values[row["facet"]]
            into.append(Count(row["value"], row["count"]))
    return total, Facets({name: tuple(counts) for name, counts in values.items()}, tuple(hours))


def _next(query: Query, row: Any, engine: str) -> str:
    score = float(row["score"]) if query.by == "relevance" else None
    return encode(query, Place(query.by, micros(row["at"].isoformat()), str(row["id"]), score, engine))


def _uuid(query: Query, text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        refuse(query.cursor or "")
