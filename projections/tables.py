"""Reads the prior rows of a batch and writes what it changed: a fixed number of statements, rows as arrays.

Place in the flow: the projector calls these within its transaction, around the fold.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic import TypeAdapter

from horae.domain.envelope import Recorded
from horae.domain.ids import slot_of
from horae.domain.schedule import ScheduleChanged
from horae.domain.timing import Timing
from horae.projections.due import DueChange, DueRow, due_row
from horae.projections.fold import Fold, by_itself, family
from horae.projections.rows import Occurrence, Standing, occurrence_of, standing_of
from horae.projections.schema import partition_of
from horae.projections.search.words import tsvector_of
from horae.projections.statements import statements

if TYPE_CHECKING:
    from horae.projections.schema import Connection

_SQL = statements("projector")
_TIMING: TypeAdapter[Timing] = TypeAdapter(Timing)

#: One maker of partitions at a time, per database.
_PARTITIONS_LOCK = 7235418830166533


async def make_partitions(conn: Connection, slots: Iterable[datetime]) -> None:
    """Make the occurrences' partitions for the months of these slots, where they are missing."""
    for slot in sorted(slots):
        name, ddl = partition_of(slot)
        if await conn.fetchval("SELECT to_regclass($1)", name) is None:
            # Another process may be making it. Whoever made it has let go when we come in; nobody who holds this waits
            # for anything of ours, as positions are moved before.
            await conn.execute("SELECT pg_advisory_xact_lock($1)", _PARTITIONS_LOCK)
            if not await conn.fetchval(_SQL["table_exists"], name):
                await conn.execute(ddl)


async def read_prior(conn: Connection, fold: Fold, events: Sequence[Recorded]) -> None:
    """Give the fold the stored rows that these events change."""
    schedules: set[UUID] = set()
    asked: set[UUID] = set()
    occurrences: set[UUID] = set()
    created: set[UUID] = set()
    changed: set[UUID] = set()
    for event in events:
        body = event.body
        topic = body.name
        if topic.startswith("occurrence."):
            schedules.add(family(event))
            # Version 1 has no prior row, unless somebody triggered it, or moved it so that it waits by itself.
            if event.version > 1 or getattr(body, "moves", None) is False:
                occurrences.add(event.stream)
        elif topic.startswith("schedule."):
            if event.version == 1:
                created.add(event.stream)
            else:
                asked.add(event.stream)
                if isinstance(body, ScheduleChanged):
                    changed.add(event.stream)
                occurrences.update(by_itself(body))
    wanted = (schedules | asked) - created
    if wanted:
        for record in await conn.fetch(_SQL["prior_standings"], list(wanted)):
            fold.standings[record["id"]] = standing = standing_of(record)
            fold.slot_before[standing.id] = standing.due_facts
    if changed:
        for record in await conn.fetch(_SQL["prior_timings"], list(changed)):
            fold.timings[record["id"]] = _TIMING.validate_json(record["timing"])
    if occurrences:
        ids = list(occurrences)
        for record in await conn.fetch(_SQL["prior_occurrences"], ids, [slot_of(id_) for id_ in ids]):
            fold.occurrences[record["id"]] = occurrence_of(record)
    waiting_of = [id_ for id_ in asked if id_ in fold.standings and fold.standings[id_].open]
    if occurrences or waiting_of:
        for record in await conn.fetch(_SQL["prior_due"], list(occurrences), waiting_of):
            row = due_row(record)
            fold.due_before[row.key] = row


async def write(conn: Connection, fold: Fold) -> list[DueChange]:
    """Write what the fold changed; gives the changes of the due index.

    The large tables' rows go as one array of the table's row type: asyncpg takes an array per column, too, but looks
    at every single value of it to see whether it is an array in turn.
    """
    standings = [row for id_, row in fold.standings.items() if id_ in fold.touched]
    occurrences = [row for id_, row in fold.occurrences.items() if id_ in fold.touched]
    if fold.schedules:
        await conn.execute(_SQL["write_schedules"], list(fold.schedules.values()))
        words = [(id_, fold.standings[id_].tenant, tsvector_of(texts)) for id_, texts in fold.words.items()]
        await conn.execute(_SQL["write_words"], *columns(words))
        await _write_tags(conn, fold)
    if fold.retimed:
        await conn.execute(_SQL["retime_schedules"], *columns(fold.retimed.values()))
    if standings:
        await conn.execute(_SQL["write_standings"], [_standing_values(row) for row in standings])
    if occurrences:
        await conn.execute(_SQL["write_occurrences"], [_occurrence_values(row) for row in occurrences])
    changes = _due_changes(fold, standings, occurrences)
    rows = [change.due for change in changes if change.due is not None]
    if rows:
        await conn.execute(_SQL["write_due"], [_due_values(row) for row in rows])
    gone = [change.key for change in changes if change.due is None]
    if gone:
        await conn.execute(_SQL["clear_due"], gone)
    for name, values in (
        ("write_recipients", list(fold.recipients.values())),
        ("write_calendars", list(fold.calendars.values())),
        ("issue_keys", fold.keys_issued),
        ("rotate_keys", fold.keys_rotated),
        ("revoke_keys", fold.keys_revoked),
        ("open_feeds", fold.feeds_opened),
    ):
        if values:
            await conn.execute(_SQL[name], *columns(values))
    for rotated in fold.feeds_rotated:
        await conn.execute(_SQL["rotate_feeds"], *rotated)
    if fold.feeds_revoked:
        await conn.execute(_SQL["revoke_feeds"], *columns(fold.feeds_revoked))
    return changes


async def _write_tags(conn: Connection, fold: Fold) -> None:
    changed = [id_ for id_ in fold.tags if fold.standings[id_].version > 1]
    if changed:
        await conn.execute(_SQL["clear_tags"], changed)
    tags = [
        (fold.standings[id_].tenant, tag, fold.standings[id_].created_at, id_)
        for id_, tags in fold.tags.items()
        for tag in tags
    ]
    if tags:
        await conn.execute(_SQL["write_tags"], *columns(tags))


def _due_changes(fold: Fold, standings: list[Standing], occurrences: list[Occurrence]) -> list[DueChange]:
    before = fold.due_before
    changes = [
        DueChange("slot", standing.id, standing.due())
        for standing in standings
        if standing.due_facts != fold.slot_before.get(standing.id)
    ]
    for row in occurrences:
        due = row.due(fold.standings[row.schedule])
        if due != before.get(row.id):
            changes.append(DueChange("occurrence", row.id, due))
    for key, prior in before.items():
        # Waits on untouched, under a schedule that a client touched.
        if key not in fold.touched:
            due = fold.standings[prior.schedule].waiting(prior)
            if due != prior:
                changes.append(DueChange("occurrence", key, due))
    return changes


def columns(rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Rows as the parameters of a statement with one array per column."""
    return list(zip(*rows, strict=True))


def _standing_values(row: Standing) -> tuple[Any, ...]:
    slot = row.slot
    return (
        row.id,
        row.tenant,
        row.shard,
        row.recipient_ref,
        row.recurring,
        row.priority,
        row.status,
        row.phase,
        row.version,
        slot and slot.local,
        slot and slot.fold,
        row.number,
        row.due_at,
        row.plan,
        row.zone,
        row.recipient_zone,
        row.skipped,
        row.varied,
        row.open,
        row.one_off,
        row.one_off_id,
        row.fired,
        row.missed,
        row.created_at,
        row.updated_at,
        row.cancelled_at,
        row.executed_at,
        row.failure_reason,
        row.position,
        row.conflict_key,
        row.moved_to,
    )


def _occurrence_values(row: Occurrence) -> tuple[Any, ...]:
    to = row.missed_to
    return (
        row.id,
        slot_of(row.id),
        row.slot.fold,
        row.number,
        row.tenant,
        row.shard,
        row.schedule,
        row.recipient_ref,
        row.priority,
        row.origin,
        row.status,
        row.reason,
        row.version,
        row.attempts,
        row.owner,
        row.due_at,
        row.wake_at,
        row.claimed_at,
        row.ended_at,
        row.late_ms,
        row.duration_ms,
        row.plan,
        row.recipient_zone,
        row.last_failure,
        row.response,
        row.reported,
        row.engagement,
        row.missed_count,
        to and to.local,
        to and to.fold,
        row.position,
    )


def _due_values(row: DueRow) -> tuple[Any, ...]:
    return (row.key, row.row, *row[2:10], row.slot.local, row.slot.fold, *row[11:])
