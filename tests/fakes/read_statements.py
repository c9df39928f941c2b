"""What the projections' statements do, by name, on dictionaries: the SQL of the read models in memory.

Each takes a session and the statement's parameters, and gives rows. Writes are put down, and count at commit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

from horae.projections import schema
from horae.projections.projector import PROJECTION
from horae.projections.statements import statements

Key = Any
TABLES = ("standings", "occurrences", "due", "schedules", "schedule_words", "recipients", "parked")


def _columns_of(table: str) -> tuple[str, ...]:
    """The table's columns, in the order of its definition."""
    script = (Path(schema.__file__).parent / "schema.sql").read_text(encoding="utf-8")
    (definition,) = re.findall(rf"^CREATE TABLE {table} \((.*?)^\)", script, re.DOTALL | re.MULTILINE)
    return tuple(re.findall(r'^    "?([a-z_]+)"? [a-z]', definition, re.MULTILINE))


NAMES = {table: _columns_of(table) for table in TABLES}


class Record(dict[str, Any]):
    """A row by column; iterates over its values, as asyncpg's does."""

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values())


class Stored(Protocol):
    """What is stored beside the tables."""

    positions: dict[int, int]
    copy: UUID


class Session(Protocol):
    """A connection as statements see it."""

    @property
    def database(self) -> Stored: ...

    def table(self, name: str) -> dict[Key, Record]: ...

    def put(self, table: str, key: Key, row: Record | None) -> None: ...

    def move(self, shard: int, position: int) -> None: ...

    def tell(self, payload: str) -> None: ...


def _positions(conn: Session, projection: str) -> list[Record]:
    assert projection == PROJECTION
    return [Record(shard=shard, position=position) for shard, position in conn.database.positions.items()]


def _copy(conn: Session) -> list[Record]:
    return [Record(copy=conn.database.copy)]


def _move_positions(
    conn: Session,
    projection: str,
    shards: list[int],
    old: list[int],
    new: list[int],
    heard: str | None,
    copy: UUID,
) -> list[Record]:
    moved = 0
    if copy == conn.database.copy:
        for shard, before, after in zip(shards, old, new, strict=True):
            if conn.database.positions[shard] == before:
                conn.move(shard, after)
                moved += 1
    return [Record(count=moved)]


def _rows(table: str, *key: str) -> Callable[[Session, Any], list[Record]]:
    def write(conn: Session, rows: Any) -> list[Record]:
        for values in rows:
            row = Record(zip(NAMES[table], values, strict=True))
            conn.put(table, row[key[0]] if len(key) == 1 else tuple(row[k] for k in key), row)
        return []

    return write


def _columns(table: str, *key: str) -> Callable[..., list[Record]]:
    write = _rows(table, *key)
    return lambda conn, *columns: write(conn, list(zip(*columns, strict=True)))


def _write_occurrences(conn: Session, rows: Any) -> list[Record]:
    for values in rows:
        row = Record(zip(NAMES["occurrences"], values, strict=True))
        before = conn.table("occurrences").get(row["id"])
        if before is not None:
            # The statement leaves these as they are.
            kept = ("fold", "slot")
            row.update({name: before[name] for name in kept})
        conn.put("occurrences", row["id"], row)
    return []


def _by_id(table: str, *columns: str) -> Callable[..., list[Record]]:
    def read(conn: Session, ids: Collection[UUID], *_: Any) -> list[Record]:
        rows = conn.table(table)
        found = (rows[id_] for id_ in ids if id_ in rows)
        return [Record((c, row[c]) for c in columns) if columns else row for row in found]

    return read


def _prior_due(conn: Session, keys: Collection[UUID], schedules: Collection[UUID]) -> list[Record]:
    wanted, under = set(keys), set(schedules)
    return [
        row
        for row in conn.table("due").values()
        if row["key"] in wanted or (row["row"] == "occurrence" and row["schedule"] in under)
    ]


def _clear_due(conn: Session, keys: Collection[UUID]) -> list[Record]:
    for key in keys:
        conn.put("due", key, None)
    return []


def _load_horizon(
    conn: Session,
    shards: list[int] | None,
    until: datetime | None,
    after: datetime | None,
    after_key: UUID,
    limit: int,
) -> list[Record]:
    wanted = None if shards is None else set(shards)
    found = [
        row
        for row in conn.table("due").values()
        if not row["held"]
        and (wanted is None or row["shard"] in wanted)
        and (until is None or row["due_at"] <= until)
        and (after is None or (row["due_at"], row["key"]) > (after, after_key))
    ]
    return sorted(found, key=lambda row: (row["due_at"], row["key"]))[:limit]


def _next_due_at(conn: Session, shards: list[int] | None, after: datetime | None) -> list[Record]:
    found = [row["due_at"] for row in _load_horizon(conn, shards, None, None, UUID(int=0), 1 << 30)]
    later = [due_at for due_at in found if after is None or due_at > after]
    return [Record(due_at=min(later))] if later else []


def _overdue_pointers(conn: Session, before: datetime, limit: int) -> list[Record]:
    found = [row for row in _pointing(conn) if row["due_at"] <= before]
    return sorted((_suspect(conn, row) for row in found), key=lambda row: row["due_at"])[:limit]


def _unwatched_pointers(conn: Session, after: UUID, limit: int) -> list[Record]:
    found = [_suspect(conn, row) for row in _pointing(conn) if row["id"] > after]
    return sorted((row for row in found if row["unwatched"]), key=lambda row: row["schedule"])[:limit]


def _pointing(conn: Session) -> list[Record]:
    rows = conn.table("standings").values()
    return [row for row in rows if row["phase"] == "active" and row["due_at"] is not None]


def _suspect(conn: Session, row: Record) -> Record:
    unwatched = row["id"] not in conn.table("due")
    named = {name: row[name] for name in ("tenant", "slot", "fold", "due_at")}
    return Record(schedule=row["id"], **named, unwatched=unwatched)


def _stuck(conn: Session, before: datetime, claimed_before: datetime, limit: int) -> list[Record]:
    found = []
    for row in conn.table("occurrences").values():
        schedule = conn.table("standings").get(row["schedule"])
        if schedule is None or schedule["phase"] == "paused" or schedule["open"] <= 0:
            continue
        if row["status"] == "executing":
            stuck = row["claimed_at"] is not None and row["claimed_at"] <= claimed_before and row["wake_at"] is None
        else:
            waits = row["status"] in ("waiting", "deferred", "retrying")
            stuck = waits and row["wake_at"] is not None and row["wake_at"] <= before
        if stuck:
            named = {name: row[name] for name in ("schedule", "tenant", "slot", "fold", "due_at")}
            found.append(Record(**named, occurrence=row["id"], status=row["status"]))
    return sorted(found, key=lambda row: row["due_at"])[:limit]


def _active_series(conn: Session, after: UUID, limit: int) -> list[Record]:
    found = [
        Record((name, row[name]) for name in ("id", "tenant", "recipient_zone"))
        for row in conn.table("standings").values()
        if row["phase"] == "active" and row["recurring"] and row["id"] > after
    ]
    return sorted(found, key=lambda row: row["id"])[:limit]


def _missed_runs(conn: Session, schedules: Sequence[UUID], since: datetime) -> list[Record]:
    found = [
        Record(
            row,
            to_slot=row["missed_to"] or row["slot"],
            to_fold=row["fold"] if row["missed_to_fold"] is None else row["missed_to_fold"],
        )
        for row in conn.table("occurrences").values()
        if row["schedule"] in schedules and row["status"] == "missed" and (row["missed_to"] or row["slot"]) >= since
    ]
    return sorted(found, key=lambda row: (row["schedule"], row["slot"], row["fold"]))


def _open_owners(conn: Session) -> list[Record]:
    rows = conn.table("occurrences").values()
    owners = {row["owner"] for row in rows if row["status"] == "executing" and row["owner"] is not None}
    return [Record(owner=owner) for owner in sorted(owners)]


def _open_claims(conn: Session, owner: int, after: UUID, limit: int) -> list[Record]:
    rows = conn.table("occurrences").values()
    found = [r for r in rows if r["status"] == "executing" and r["owner"] == owner and r["id"] > after]
    return sorted(found, key=lambda row: row["id"])[:limit]


def _applied_position(conn: Session) -> list[Record]:
    positions = conn.database.positions
    shards = min(position for shard, position in positions.items() if shard >= 0)
    return [Record(position=max(positions[-1], shards))]


def _current_slot(conn: Session, tenant: str, schedule: UUID) -> list[Record]:
    row = conn.table("standings").get(schedule)
    return [row] if row is not None and row["tenant"] == tenant else []


def _retime(conn: Session, *columns: Any) -> list[Record]:
    for id_, timing, calendar, position, settled in zip(*columns, strict=True):
        changed = {"timing": timing, "calendar": calendar, "definition_position": position, "settled": settled}
        conn.put("schedules", id_, Record(conn.table("schedules")[id_] | changed))
    return []


def _park(conn: Session, *columns: Any) -> list[Record]:
    for values in zip(*columns, strict=True):
        row = Record(zip(NAMES["parked"], values, strict=True))
        conn.put("parked", (row["family"], row["position"]), row)
    return []


def _parked_families(conn: Session) -> list[Record]:
    return [Record(family=family) for family in {family for family, _ in conn.table("parked")}]


def _unpark(conn: Session, family: UUID, positions: Collection[int]) -> list[Record]:
    for position in positions:
        conn.put("parked", (family, position), None)
    return []


def _tell(conn: Session) -> list[Record]:
    conn.tell("")
    return []


def _ignored(_conn: Session, *_: Any) -> list[Record]:
    return []


def _partition_exists(_conn: Session, name: str) -> list[Record]:
    return [Record(to_regclass=name)]


STATEMENTS: dict[str, Callable[..., list[Record]]] = {
    "positions": _positions,
    "copy": _copy,
    "parked_families": _parked_families,
    "move_positions": _move_positions,
    "SELECT to_regclass($1)": _partition_exists,
    "prior_standings": _by_id("standings"),
    "prior_timings": _by_id("schedules", "id", "timing"),
    "prior_occurrences": _by_id("occurrences"),
    "prior_due": _prior_due,
    "write_schedules": _rows("schedules", "id"),
    "retime_schedules": _retime,
    "write_words": _columns("schedule_words", "schedule"),
    "clear_tags": _ignored,  # tags are a part of `schedules` here
    "write_tags": _ignored,
    "issue_keys": _ignored,  # nobody here asks for keys
    "rotate_keys": _ignored,
    "revoke_keys": _ignored,
    "write_standings": _rows("standings", "id"),
    "write_occurrences": _write_occurrences,
    "write_due": _rows("due", "key"),
    "clear_due": _clear_due,
    "write_recipients": _columns("recipients", "tenant", "id"),
    "prior_habits": _ignored,  # nobody here engages with anything
    "park": _park,
    "unpark": _unpark,
    "tell_to_look": _tell,
    "load_horizon": _load_horizon,
    "next_due_at": _next_due_at,
    "get_due": _by_id("due"),
    "overdue_pointers": _overdue_pointers,
    "unwatched_pointers": _unwatched_pointers,
    "stuck_occurrences": _stuck,
    "active_series": _active_series,
    "missed_runs": _missed_runs,
    "open_owners": _open_owners,
    "open_claims": _open_claims,
    "applied_position": _applied_position,
    "current_slot": _current_slot,
}
WRITES = frozenset({"move_positions", "park", "unpark"})
NAME_OF = {
    text: name
    for file in ("projector", "due", "audit", "queries", "habits")
    for name, text in statements(file).items()
    if name in STATEMENTS
}
