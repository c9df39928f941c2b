"""Whatever the deciders emit is applied, in whatever portions it arrives, and says what the streams say."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from horae.domain import occurrence as o
from horae.domain import schedule as s
from horae.domain import timing as t
from horae.infra.rebuild import checksums
from horae.projections.due import DueRow, get_due, load_horizon
from horae.projections.projector import Projector
from tests.projections.conftest import empty
from tests.projections.histories import World, worlds

if TYPE_CHECKING:
    from horae.projections.schema import Connection


def named(slot: t.Slot) -> tuple[str, int]:
    return slot.local.isoformat(), slot.fold


REAL_DATABASE = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


async def forget(conn: Connection) -> Projector:
    """Begin again."""
    await empty(conn)
    projector = Projector()
    await projector.load(conn)
    return projector


@pytest.mark.covers("REL-07")
@REAL_DATABASE
@given(world=worlds(), data=st.data())
async def test_any_portions_of_the_log_with_any_repeats_give_the_same_rows(
    conn: Connection, world: World, data: st.DataObject
) -> None:
    """One event at a time, or split anywhere and delivered again and again: every column of every table is the same."""
    projector = await forget(conn)
    for event in world.log:
        await projector.apply(conn, [event])
    one_by_one = await checksums(conn, "read")

    projector = await forget(conn)
    while projector.position < len(world.log):
        again = data.draw(st.integers(0, projector.position), label="again from")
        upto = data.draw(st.integers(projector.position + 1, len(world.log)), label="up to")
        await projector.apply(conn, world.log[again:upto])
    assert await checksums(conn, "read") == one_by_one
    assert (await projector.apply(conn, world.log)).events == 0
    assert await checksums(conn, "read") == one_by_one


@pytest.mark.covers("REL-07", "LIF-09")
@REAL_DATABASE
@given(world=worlds(), portion=st.sampled_from([1, 7, 500]))
async def test_rows_say_what_the_streams_say(conn: Connection, world: World, portion: int) -> None:
    """Versions, statuses, the series' next slots and the due index agree with the folds of all streams."""
    projector = await forget(conn)
    changes: dict[UUID, DueRow | None] = {}
    for begin in range(0, len(world.log), portion):
        applied = await projector.apply(conn, world.log[begin : begin + portion])
        for change in applied.due:
            assert change.due is None or change.due.key == change.key
            changes[change.key] = change.due

    standings = {row["id"]: row for row in await conn.fetch("SELECT * FROM standings")}
    assert standings.keys() == world.schedules.keys()
    for id_, state in world.schedules.items():
        row, at = standings[id_], world.pointers[id_]
        assert (row["version"], row["phase"]) == (state.version, state.status.value)
        assert (row["slot"], row["due_at"]) == ((at.slot.local, at.due_at) if at else (None, None))
        skipped = sorted([slot.local.isoformat(), slot.fold] for slot in state.exceptions)
        assert sorted(json.loads(row["skipped"])) == skipped
        varied = json.loads(row["varied"])
        assert [(e[1], e[2]) for e in varied if e[0] == "from"] == [named(later.since) for later in state.later]
        own = {named(slot): change for slot, change in state.changes.items()}
        assert {(e[1], e[2]) for e in varied if e[0] == "slot"} == own.keys()
        for entry in (entry for entry in varied if entry[0] == "slot"):
            one = own[entry[1], entry[2]]
            assert entry[3:] == [one.at and one.at.due_at.isoformat(), list(one.changed)]
        if state.recurring and state.status is s.Status.ACTIVE:
            assert (row["status"] == "pending") == (at is not None)
    rows = {row["id"]: row for row in await conn.fetch("SELECT * FROM occurrences WHERE version > 0")}
    assert rows.keys() == world.occurrences.keys()
    for id_, happened in world.occurrences.items():
        row = rows[id_]
        assert row["status"] == (happened.outcome if happened.phase is o.Phase.ENDED else happened.phase)
        assert (row["version"], row["owner"]) == (happened.version, happened.owner)
        assert row["attempts"] == happened.attempt

    due = {row.key: row for row in await get_due(conn, list({*changes, *world.schedules, *world.occurrences}))}
    # A dispatcher that only listens knows what is stored.
    assert {key: row for key, row in changes.items() if row is not None} == due
    assert {key for key, row in due.items() if row.row == "slot"} == {k for k, at in world.pointers.items() if at}
    waiting = {k for k, state in world.occurrences.items() if state.phase is not o.Phase.ENDED and state.wake_at}
    assert {
        key for key, row in due.items() if row.row == "occurrence"
    } == waiting | world.triggered.keys() | world.moved.keys()
    for waits in due.values():
        state = world.schedules[waits.schedule]
        assert waits.schedule_version == state.version
        assert waits.held == (state.status is s.Status.PAUSED)
        if waits.key in world.occurrences:
            assert waits.occurrence_version == world.occurrences[waits.key].version
        if state.status is s.Status.CANCELLED:
            assert waits.due_at <= world.now
    assert [row.key for row in await load_horizon(conn)] == [
        row.key for row in sorted(due.values(), key=lambda row: (row.due_at, row.key)) if not row.held
    ]
