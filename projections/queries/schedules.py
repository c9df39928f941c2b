"""Schedules as clients see them: what was asked for, joined with where it stands."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from horae.domain.timing import Next, Plan, Slot
from horae.projections.queries.pages import Page, Where, check_limit, decode, page
from horae.projections.statements import statements

if TYPE_CHECKING:
    from horae.projections.schema import Connection

Order = Literal["created", "due"]

_SQL = statements("queries")


@dataclass(frozen=True, slots=True)
class ScheduleRow:
    """One schedule. `timing`, `delivery`, `content` and `metadata` are JSON texts, as they stand in the events."""

    id: UUID
    tenant: str
    version: int
    #: The last event that touched it or one of its occurrences.
    position: int
    #: pending, executing, completed, failed, cancelled, paused; of one-offs also suppressed, expired, missed, unknown.
    status: str
    recipient: str
    recipient_ref: str
    channel: str
    priority: int
    kind: str
    timing: str
    delivery: str
    content: str
    metadata: str
    expires_after: timedelta | None
    tags: tuple[str, ...]
    cloned_from: UUID | None
    #: JSON texts: what it asked for about conflicts, and what was decided.
    conflicts: str | None
    settled: str | None
    created_at: datetime
    #: When a client last changed it.
    updated_at: datetime
    #: The next slot; None: there is none, or it is paused.
    next: Next | None
    #: The IANA zone that its last plan used.
    zone: str | None
    #: Slots that were taken out by hand and lie in the present timing.
    skipped: tuple[Slot, ...]
    #: From which slots on it was changed; what holds from there is in the log.
    later: tuple[Slot, ...]
    #: Slots that were changed by themselves: where they were moved to, the names of what they have for themselves, and
    #: how they stand there among others, as JSON has it.
    changes: tuple[tuple[Slot, datetime | None, tuple[str, ...], dict[str, Any] | None], ...]
    #: How many of its occurrences have not ended.
    open: int
    fired: int
    missed: int
    #: When it last fired.
    executed_at: datetime | None
    #: Why the last attempt or occurrence did not go well; None again after a delivery.
    failure_reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleFilters:
    """All given conditions must hold; an empty tuple or None is no condition. Times are aware UTC, `to` excluded."""

    #: Any of these, as `ScheduleRow.status`.
    status: tuple[str, ...] = ()
    recipient_ref: str | None = None
    #: A whole channel ("webhook:https://...", "log:"), or its kind ("webhook").
    channel: str | None = None
    #: All of these.
    tags: tuple[str, ...] = ()
    priority: tuple[int, ...] = ()
    #: now, at, in, phrase, every: any of these.
    kind: tuple[str, ...] = ()
    zone: str | None = None
    #: metadata's "type".
    type: str | None = None
    due_from: datetime | None = None
    due_to: datetime | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class SlotPointer:
    """Where a series stands: its next slot as of `version` of the schedule; None: ended or paused."""

    version: int
    next: Next | None
    #: active, paused or cancelled.
    phase: str


async def get_schedule(conn: Connection, tenant: str, schedule: UUID) -> ScheduleRow | None:
    """None if the tenant has no such schedule."""
    record = await conn.fetchrow(_SQL["get_schedule"], tenant, schedule)
    return None if record is None else _schedule(record)


async def list_schedules(
    conn: Connection,
    tenant: str,
    filters: ScheduleFilters | None = None,
    *,
    order: Order = "created",
    cursor: str | None = None,
    limit: int = 50,
) -> Page[ScheduleRow]:
    """`created`: newest first. `due`: those with a next slot, soonest first. Raises `Invalid` (cursor, limit)."""
    filters = filters or ScheduleFilters()
    check_limit(limit)
    behind = decode(order, cursor)
    where = Where(tenant, limit + 1)
    where.add("s.tenant = $1")
    _conditions(where, filters)
    source, by = "schedules AS s JOIN standings AS x ON x.id = s.id", "s"
    if filters.tags:
        # The rarest of the tags would be the best guide; the first is a guess that costs nothing.
        source += " JOIN schedule_tags AS g ON g.schedule = s.id"
        where.add("g.tenant = $1 AND g.tag = {}", filters.tags[0])
        by = "g"
    elif filters.status:
        by = "x"
    if order == "due":
        where.add("x.due_at IS NOT NULL")
        if behind:
            where.add("(x.due_at, x.id) > ({}, {})", behind.at, behind.id)
        ordering, at = "x.due_at, x.id", "due_at"
    else:
        key = "g.created_at, g.schedule" if by == "g" else f"{by}.created_at, {by}.id"
        if behind:
            where.add(f"({key}) < ({{}}, {{}})", behind.at, behind.id)
        ordering, at = ", ".join(f"{part} DESC" for part in key.split(", ")), "created_at"
    sql = _SQL["list_schedules"].format(source=source, where=where, ordering=ordering)
    records = await conn.fetch(sql, *where.parameters)
    return page(records, limit, order, at, "id", _schedule)


def _conditions(where: Where, filters: ScheduleFilters) -> None:
    if filters.status:
        where.add("x.tenant = $1 AND x.status = ANY ({}::text[])", list(filters.status))
    if filters.recipient_ref is not None:
        where.add("s.recipient_ref = {}", filters.recipient_ref)
    if filters.channel is not None:
        exact = ":" in filters.channel
        where.add("s.channel = {}" if exact else "split_part(s.channel, ':', 1) = {}", filters.channel)
    for tag in filters.tags[1:]:
        where.add("EXISTS (SELECT FROM schedule_tags AS t WHERE t.schedule = s.id AND t.tag = {})", tag)
    if filters.priority:
        where.add("s.priority = ANY ({}::smallint[])", list(filters.priority))
    if filters.kind:
        where.add("s.kind = ANY ({}::text[])", list(filters.kind))
    if filters.zone is not None:
        where.add("x.zone = {}", filters.zone)
    if filters.type is not None:
        where.add("s.type = {}", filters.type)
    for column, operator, value in (
        ("x.due_at", ">=", filters.due_from),
        ("x.due_at", "<", filters.due_to),
        ("s.created_at", ">=", filters.created_from),
        ("s.created_at", "<", filters.created_to),
    ):
        if value is not None:
            where.add(f"{column} {operator} {{}}", value)


async def current_slot(conn: Connection, tenant: str, schedule: UUID) -> SlotPointer | None:
    """Where the series stands by these read models; None if the tenant has no such schedule here (yet)."""
    record = await conn.fetchrow(_SQL["current_slot"], tenant, schedule)
    return None if record is None else SlotPointer(record["version"], _next(record), record["phase"])


async def planned_by_others(
    conn: Connection, tenant: str, version: str, after: UUID | None, limit: int
) -> list[tuple[UUID, Next | None, int]]:
    """Schedules by id with what of them was planned by zone data other than `version` and needed a zone: where they
    stand, and how many waiting slots that were moved by themselves."""
    records = await conn.fetch(_SQL["planned_by_others"], tenant, after or UUID(int=0), version, limit)
    return [(record["id"], _next(record), record["moved"]) for record in records]


async def tenants(conn: Connection) -> list[str]:
    """Everybody who has ever had a schedule, by name. For the owner's role: the API's sees one tenant at a time."""
    return [record["tenant"] for record in await conn.fetch(_SQL["tenants"])]


async def left_of_series(
    conn: Connection, tenant: str, recipient_ref: str | None, after: datetime, limit: int
) -> list[ScheduleRow]:
    """Active series that have ended, with slots moved by themselves behind `after`: at most `limit`, soonest first.

    Of one recipient, or (None) of everybody.
    """
    records = await conn.fetch(_SQL["left_of_series"], tenant, recipient_ref, after, limit)
    return [_schedule(record) for record in records]


async def neighbours(
    conn: Connection,
    tenant: str,
    *,
    recipient_ref: str,
    key: str | None,
    since: datetime,
    until: datetime,
    limit: int,
) -> list[tuple[UUID, datetime | None]]:
    """Ids and next due instants of schedules of the recipient, or of those under the key, by due instant and id.

    One-offs that are due between the two instants (excluded), series that go on before `until`, and those with a
    slot between the two that waits by itself (the instant is None where the series has ended).
    """
    name, whose = ("neighbours_of_recipient", recipient_ref) if key is None else ("neighbours_under_key", key)
    records = await conn.fetch(_SQL[name], tenant, whose, since, until, limit)
    return [(record["id"], record["due_at"]) for record in records]


def _next(record: Any) -> Next | None:
    if record["slot"] is None:
        return None
    return Next.model_construct(
        slot=Slot.model_construct(local=record["slot"], fold=record["fold"]),
        number=record["number"],
        due_at=record["due_at"],
        plan=Plan.model_validate_json(record["plan"]),
    )


def _schedule(record: Any) -> ScheduleRow:
    expires_after_s = record["expires_after_s"]
    skipped, varied = json.loads(record["skipped"]), json.loads(record["varied"])
    return ScheduleRow(
        id=record["id"],
        tenant=record["tenant"],
        version=record["version"],
        position=record["position"],
        status=record["status"],
        recipient=record["recipient"],
        recipient_ref=record["recipient_ref"],
        channel=record["channel"],
        priority=record["priority"],
        kind=record["kind"],
        timing=record["timing"],
        delivery=record["delivery"],
        content=record["content"],
        metadata=record["metadata"],
        expires_after=None if expires_after_s is None else timedelta(seconds=expires_after_s),
        tags=tuple(record["tags"]),
        cloned_from=record["cloned_from"],
        conflicts=record["conflicts"],
        settled=record["settled"],
        created_at=record["created_at"],
        updated_at=record["updated_at"],
        next=_next(record),
        zone=record["zone"],
        skipped=tuple(Slot(local=local, fold=fold) for local, fold in skipped),
        later=tuple(Slot(local=entry[1], fold=entry[2]) for entry in varied if entry[0] == "from"),
        changes=tuple(
            (
                Slot(local=entry[1], fold=entry[2]),
                datetime.fromisoformat(entry[3]) if entry[3] is not None else None,
                tuple(entry[4]),
                entry[5] if len(entry) > 5 else None,
            )
            for entry in varied
            if entry[0] == "slot"
        ),
        open=record["open"],
        fired=record["fired"],
        missed=record["missed"],
        executed_at=record["executed_at"],
        failure_reason=record["failure_reason"],
    )
