"""`horae parked`: an operator sees what stands still, and sets it going again."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from uuid import UUID

import pytest

from horae.domain.envelope import NewEvent
from horae.infra.cli import main as cli
from horae.infra.eventstore import PostgresEventStore
from horae.infra.setting_sources import named
from horae.infra.settings import Settings
from horae.projections import schema
from horae.projections.projector import Projector
from horae.streams.parking import apply_or_park
from tests.fixtures.postgres import Database
from tests.projections.told import Told

BAD = UUID(int=2)


@pytest.fixture
def parked(database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Database:
    """An installation in which one of two schedules is parked; the cause is still there."""
    monkeypatch.chdir(tmp_path)
    for field in Settings.model_fields.values():
        monkeypatch.delenv(named(field).env, raising=False)

    async def park() -> None:
        told, projector = Told(), Projector()
        told.created(1)
        told.created(BAD.int, channel="webhook:https://bad.example/")
        told.claimed(BAD)
        conn = await schema.connect(database.owner_dsn)
        await schema.install(conn)
        await conn.execute("ALTER TABLE schedules ADD CONSTRAINT bad CHECK (channel NOT LIKE '%bad.example/')")
        async with PostgresEventStore(database.owner_dsn) as store:
            for event in told.log:
                await store.append([NewEvent(event.stream, event.version, event.meta, event.body)])
            await projector.load(conn)
            async for _ in apply_or_park(projector, conn, await store.after(0)):
                pass
        await conn.close()

    asyncio.run(park())
    return database


def horae(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code of a command line."""
    monkeypatch.setattr(sys, "argv", ["horae", *arguments])
    try:
        cli.main()
    except SystemExit as left:
        return int(left.code or 0)
    return 0


def test_the_list_names_family_position_event_and_error(
    parked: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The one that could not be applied with its reason; the one behind it as such; the rest is not there."""
    assert horae(monkeypatch, "parked", "--dsn", parked.owner_dsn) == 0
    head, first, second = capsys.readouterr().out.splitlines()[-3:]
    assert head.split() == ["family", "position", "event", "error"]
    assert first.split()[:3] == [str(BAD), "2", "schedule.created.v1"]
    assert "CheckViolationError" in first
    assert second.split()[:3] == [str(BAD), "3", "occurrence.claimed.v1"]
    assert "queues behind it" in second
    assert horae(monkeypatch, "parked", "--dsn", parked.owner_dsn, "--json") == 0
    assert [event["position"] for event in json.loads(capsys.readouterr().out)] == [2, 3]


def test_a_replay_works_once_the_cause_is_mended_and_says_what_to_do_until_then(
    parked: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refused in one line with the reason; afterwards nothing is parked, and another replay has nothing to do."""
    arguments = ("parked", "replay", str(BAD), "--dsn", parked.owner_dsn)
    assert horae(monkeypatch, *arguments) == 1
    err = capsys.readouterr().err
    assert "CheckViolationError" in err
    assert "newer version" in err

    async def mend() -> None:
        conn = await schema.connect(parked.owner_dsn)
        await conn.execute("ALTER TABLE schedules DROP CONSTRAINT bad")
        await conn.close()

    asyncio.run(mend())
    assert horae(monkeypatch, *arguments) == 0
    assert f"Applied 2 events of {BAD}" in capsys.readouterr().out
    assert horae(monkeypatch, "parked", "--dsn", parked.owner_dsn) == 0
    assert "Nothing is parked." in capsys.readouterr().out
    assert horae(monkeypatch, *arguments) == 1
    assert "nothing of" in capsys.readouterr().err
