"""`horae rebuild`: an operator sees both checksums of each table, and a script hears where they differ."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import asyncpg
import pytest

from horae.domain.envelope import NewEvent
from horae.infra.eventstore import PostgresEventStore
from horae.infra.setting_sources import named
from horae.infra.settings import Settings
from horae.projections import schema
from horae.projections.projector import Projector
from tests.fixtures.postgres import Database
from tests.infra.cli.test_parking import horae
from tests.projections.histories import world


@pytest.fixture
def applied(database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Database:
    """An installation with a history, and read models that have applied it."""
    monkeypatch.chdir(tmp_path)
    for field in Settings.model_fields.values():
        monkeypatch.delenv(named(field).env, raising=False)

    async def fill() -> None:
        conn, projector = await schema.connect(database.owner_dsn), Projector()
        await schema.install(conn)
        async with PostgresEventStore(database.owner_dsn) as store:
            await store.append(
                [NewEvent(event.stream, event.version, event.meta, event.body) for event in world(3, 60).log]
            )
            await projector.load(conn)
            await projector.apply(conn, await store.after(0))
        await conn.close()

    asyncio.run(fill())
    return database


async def _execute(dsn: str, statement: str) -> None:
    conn = await asyncpg.connect(dsn)
    await conn.execute(statement)
    await conn.close()


@pytest.mark.covers("REL-07", "LIF-26")
def test_the_sums_are_printed_and_a_difference_is_an_exit_code(
    applied: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Equal: 0, and each line has the same sum twice. Different: 1, and the line has two. Mended: 0 again, by JSON."""
    assert horae(monkeypatch, "rebuild", "--dsn", applied.owner_dsn) == 0
    printed = capsys.readouterr().out
    lines = [line for line in printed.splitlines() if line.rstrip().endswith("as before")]
    assert {line.split()[0] for line in lines} >= {"schedules", "occurrences", "due", "positions"}
    sums = {line.split()[0]: re.findall(r"\b[0-9a-f]{16}\b", line) for line in lines}
    assert all(len(pair) == 2 and pair[0] == pair[1] for pair in sums.values()), printed

    asyncio.run(
        _execute(applied.owner_dsn, "DELETE FROM read.schedules WHERE id IN (SELECT id FROM read.schedules LIMIT 1)")
    )
    assert horae(monkeypatch, "rebuild", "--dsn", applied.owner_dsn) == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "DIFFERED" in line]
    rebuilt, live = re.findall(r"\b[0-9a-f]{16}\b", line)
    assert line.split()[0] == "schedules"
    assert rebuilt == sums["schedules"][0] != live

    assert horae(monkeypatch, "rebuild", "--json", "--dsn", applied.owner_dsn) == 0
    (found,) = [each for each in json.loads(capsys.readouterr().out)["tables"] if each["table"] == "schedules"]
    assert found["checksum"] == found["live_checksum"] == rebuilt
    assert (found["same"], found["rows"]) == (True, found["live_rows"])
