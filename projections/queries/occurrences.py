"""Occurrences: a schedule's history, dead letters, a recipient's timeline, and the claims that are open."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from horae.domain.ids import slot_of
from horae.domain.timing import Plan, Slot
from horae.projections.queries.pages import Page, Where, check_limit, decode, page
from horae.projections.statements import statements

if TYPE_CHECKING:
    from horae.projections.schema import Connection

_SQL = statements("queries")

DEAD = ("dead_lettered", "unknown")


@dataclass(frozen=True, slots=True)
class OccurrenceRow:
    """What became of one slot. `last_failure`, `response`, `reported` and `engagement` are JSON texts."""

    id: UUID
    tenant: str
    schedule: UUID
    recipient: str
    recipient_ref: str
    channel: str
    priority: int
    slot: Slot
    number: int | None
    origin: Literal["slot", "trigger", "backfill"]
    #: waiting, deferred, executing, retrying; or the outcome: delivered, dead_lettered, suppressed, expired, missed,
    #: cancelled, unknown.
    status: str
    reason: str | None
    #: Head of its stream; 0: asked for, nothing has happened yet.
    version: int
    attempts: int
    #: Incarnation of the worker whose attempt is open.
    owner: int | None
    due_at: datetime
    #: When it is looked at again.
    wake_at: datetime | None
    claimed_at: datetime | None
    ended_at: datetime | None
    #: Milliseconds from the due instant to the start of the first attempt.
    late_ms: float | None
    #: Of the last attempt.
    duration_ms: float | None
    plan: Plan | None
    last_failure: str | None
    response: str | None
    #: A provider's last word: {"status", "at", "detail"}.
    reported: str | None
    engagement: str | None
    #: Of a missed run: how many slots it covers, up to which.
    missed_count: int | None
    missed_to: Slot | None
    position: int


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One entry of a recipient's timeline: an occurrence, or (`status` "pending") a schedule's coming slot."""

    due_at: datetime
    schedule: UUID
    #: The id that the occurrence has, or will have.
    occurrence: UUID
    slot: Slot
    status: str
    channel: str
    priority: int
    reason: str | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class OpenClaim:
    """An attempt that has begun and not ended, as far as the read models know."""

    occurrence: UUID
    version: int
    attempt: int
    owner: int
    tenant: str
    shard: int
    schedule: UUID
    claimed_at: datetime


async def get_occurrence(conn: Connection, tenant: str, occurrence: UUID) -> OccurrenceRow | None:
    """None if the tenant has no such occurrence, or nothing has become of its slot yet."""
    try:
        slot = slot_of(occurrence)
    except OverflowError:  # no id of ours: it begins with a time that no calendar has
        return None
    record = await conn.fetchrow(_SQL["get_occurrence"], tenant, occurrence, slot)
    return None if record is None else _occurrence(record)


async def list_occurrences(
    conn: Connection,
    tenant: str,
    schedule: UUID,
    *,
    status: Collection[str] = (),
    cursor: str | None = None,
    limit: int = 50,
) -> Page[OccurrenceRow]:
    """What became of a schedule's slots, newest slot first. Raises `Invalid` (cursor, limit)."""
    check_limit(limit)
    where = Where(limit + 1)
    where.add("o.tenant = {} AND o.schedule = {}", tenant, schedule)
    if status:
        where.add("o.status = ANY ({}::text[])", list(status))
    behind = decode("slot", cursor)
    if behind:
        where.add("(o.slot, o.id) < ({}, {})", behind.at, behind.id)
    return await _list(conn, where, "o.slot DESC, o.id DESC", limit, "slot")


async def missed_run_near(conn: Connection, tenant: str, schedule: UUID, slot: Slot) -> UUID | None:
    """The occurrence that heads the last missed run which began at or before the slot, whatever became of it since."""
    found: UUID | None = await conn.fetchval(_SQL["missed_run_near"], tenant, schedule, slot.local)
    return found


async def list_dead_letters(
    conn: Connection,
    tenant: str,
    *,
    status: Collection[str] = DEAD,
    schedule: UUID | None = None,
    recipient_ref: str | None = None,
    ended_from: datetime | None = None,
    ended_to: datetime | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[OccurrenceRow]:
    """Occurrences that ended without delivery and can be replayed, last ended first (`ended_to` excluded)."""
    check_limit(limit)
    where = Where(limit + 1)
    # Said literally, so that the partial index is known to fit.
    where.add("o.tenant = {} AND o.status IN ('dead_lettered', 'unknown')", tenant)
    if set(status) != set(DEAD):
        where.add("o.status = ANY ({}::text[])", list(status))
    if schedule is not None:
        where.add("o.schedule = {}", schedule)
    if recipient_ref is not None:
        where.add("o.recipient_ref = {}", recipient_ref)
    if ended_from is not None:
        where.add("o.ended_at >= {}", ended_from)
    if ended_to is not None:
        where.add("o.ended_at < {}", ended_to)
    behind = decode("ended_at", cursor)
    if behind:
        where.add("(o.ended_at, o.id) < ({}, {})", behind.at, behind.id)
    return await _list(conn, where, "o.ended_at DESC, o.id DESC", limit, "ended_at")


async def _list(conn: Connection, where: Where, ordering: str, limit: int, at: str) -> Page[OccurrenceRow]:
    sql = _SQL["list_occurrences"].format(where=where, ordering=ordering)
    return page(await conn.fetch(sql, *where.parameters), limit, at, at, "id", _occurrence)


async def recipient_timeline(
    conn: Connection,
    tenant: str,
    recipient_ref: str,
    *,
    order: Literal["asc", "desc"] = "asc",
    due_from: datetime | None = None,
    due_to: datetime | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[TimelineEntry]:
    """What a recipient got and is to get, by due instant: occurrences, and the next slot of each schedule.

    A coming slot keeps its place when it becomes an occurrence. Raises `Invalid` (cursor, limit).
    """
    check_limit(limit)
    behind = decode(f"timeline_{order}", cursor)
    sides = []
    where = Where(tenant, recipient_ref, limit + 1)
    for at, id_ in (("o.due_at", "o.id"), ("d.due_at", "d.occurrence")):
        side = Where()
        side.parameters = where.parameters  # one numbering over both halves
        if behind:
            side.add(f"({at}, {id_}) {'>' if order == 'asc' else '<'} ({{}}, {{}})", behind.at, behind.id)
        if due_from is not None:
            side.add(f"{at} >= {{}}", due_from)
        if due_to is not None:
            side.add(f"{at} < {{}}", due_to)
        sides.append(side)
    sql = _SQL["recipient_timeline"].format(occurrences=sides[0], slots=sides[1], direction=order)
    records = await conn.fetch(sql, *where.parameters)
    return page(records, limit, f"timeline_{order}", "due_at", "occurrence", _entry)


async def open_owners(conn: Connection) -> list[int]:
    """The incarnations that have open attempts, of all tenants."""
    return [record["owner"] for record in await conn.fetch(_SQL["open_owners"])]


async def open_claims(
    conn: Connection, owner: int, *, after: UUID | None = None, limit: int = 1_000
) -> list[OpenClaim]:
    """At most `limit` open attempts of one incarnation, of all tenants, by id; go on with `after` = the last one's."""
    records = await conn.fetch(_SQL["open_claims"], owner, after or UUID(int=0), limit)
    return [
        OpenClaim(
            r["id"], r["version"], r["attempts"], r["owner"], r["tenant"], r["shard"], r["schedule"], r["claimed_at"]
        )
        for r in records
    ]


def _slot(local: datetime | None, fold: int | None) -> Slot | None:
    return None if local is None else Slot(local=local, fold=fold or 0)


def _entry(record: Any) -> TimelineEntry:
    return TimelineEntry(
        due_at=record["due_at"],
        schedule=record["schedule"],
        occurrence=record["occurrence"],
        slot=Slot(local=record["slot"], fold=record["fold"]),
        status=record["status"],
        channel=record["channel"],
        priority=record["priority"],
        reason=record["reason"],
        ended_at=record["ended_at"],
    )


def _occurrence(record: Any) -> OccurrenceRow:
    plan = record["plan"]
    return OccurrenceRow(
        id=record["id"],
        tenant=record["tenant"],
        schedule=record["schedule"],
        recipient=record["recipient"],
        recipient_ref=record["recipient_ref"],
        channel=record["channel"],
        priority=record["priority"],
        slot=Slot(local=record["slot"], fold=record["fold"]),
        number=record["number"],
        origin=record["origin"],
        status=record["status"],
        reason=record["reason"],
        version=record["version"],
        attempts=record["attempts"],
        owner=record["owner"],
        due_at=record["due_at"],
        wake_at=record["wake_at"],
        claimed_at=record["claimed_at"],
        ended_at=record["ended_at"],
        late_ms=record["late_ms"],
        duration_ms=record["duration_ms"],
        plan=None if plan is None else Plan.model_validate_json(plan),
        last_failure=record["last_failure"],
        response=record["response"],
        reported=record["reported"],
        engagement=record["engagement"],
        missed_count=record["missed_count"],
        missed_to=_slot(record["missed_to"], record["missed_to_fold"]),
        position=record["position"],
    )
