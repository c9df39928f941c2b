"""Where an engine's documents come from: rows of the read models, and events of the log.

Place in the flow: PostgreSQL -> *sources* -> indexer, re-index. For the owner's role, over all tenants.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from horae.domain.envelope import Recorded
from horae.domain.ids import slot_of
from horae.domain.undecodable import Undecodable, load_or_stand_in
from horae.projections.search.documents import (
    Document,
    Kind,
    audit_document,
    audit_id,
    occurrence_document,
    schedule_document,
)
from horae.projections.statements import statements

if TYPE_CHECKING:
    from horae.projections.schema import Connection

_SQL = statements("search")
_LOWEST = UUID(int=0)


async def schedule_documents(conn: Connection, ids: Collection[UUID]) -> list[Document]:
    """Of those schedules that have rows."""
    return [schedule_document(dict(row)) for row in await conn.fetch(_SQL["schedules_by_id"], list(ids))]


async def occurrence_documents(conn: Connection, ids: Collection[UUID]) -> list[Document]:
    """Of those occurrences that have rows."""
    wanted = list(ids)
    rows = await conn.fetch(_SQL["occurrences_by_id"], wanted, [slot_of(id_) for id_ in wanted])
    return [occurrence_document(dict(row)) for row in rows]


async def occurrences_of(conn: Connection, schedules: Collection[UUID], after: UUID | None, limit: int) -> list[UUID]:
    """The next ids of these schedules' occurrences, by id."""
    rows = await conn.fetch(_SQL["occurrences_of"], list(schedules), after or _LOWEST, limit)
    return [row["id"] for row in rows]


def audit_documents(events: Sequence[Recorded]) -> list[Document]:
    """Of events; what this version cannot read has no document."""
    return [audit_document(event) for event in events if not isinstance(event.body, Undecodable)]


async def documents_after(conn: Connection, kind: Kind, after: str, limit: int) -> tuple[list[Document], str | None]:
    """The next documents of a kind, by id, and up to which id these are all; None: there are no more."""
    if kind == "audit":
        return await _audit_after(conn, int(after or 0), limit)
    made = schedule_document if kind == "schedule" else occurrence_document
    rows = await conn.fetch(_SQL[f"{kind}s_after"], UUID(after) if after else _LOWEST, limit)
    return [made(dict(row)) for row in rows], str(rows[-1]["id"]) if len(rows) == limit else None


async def documents_of(conn: Connection, kind: Kind, ids: Collection[str]) -> list[Document]:
    """The documents of these ids, as they are now."""
    if kind == "schedule":
        return await schedule_documents(conn, [UUID(id_) for id_ in ids])
    if kind == "occurrence":
        return await occurrence_documents(conn, [UUID(id_) for id_ in ids])
    found = []
    for id_ in ids:
        documents, _ = await _audit_after(conn, int(id_) - 1, 1)
        found += [document for document in documents if document.id == id_]
    return found


async def _audit_after(conn: Connection, position: int, limit: int) -> tuple[list[Document], str | None]:
    rows = await conn.fetch("SELECT * FROM log.after(NULL, $1, $2)", position, limit)
    # Tenant and shard stand in the event itself: a stand-in, which has neither, has no document.
    events = [
        load_or_stand_in(r["topic"], r["state"], r["stream"], r["version"], r["position"], tenant="", shard=0)
        for r in rows
    ]
    return audit_documents(events), audit_id(rows[-1]["position"]) if len(rows) == limit else None
