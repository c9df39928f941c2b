"""A recorded log is lived through again: the same rows, the same decisions, and a word on each that is not the same."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from horae.domain import codec
from horae.domain import occurrence as o
from horae.domain.envelope import NewEvent, Recorded
from horae.domain.errors import Invalid
from horae.infra import logfile
from horae.infra.cli.main import app
from horae.infra.cli.replaying import register
from horae.infra.eventstore import PostgresEventStore
from horae.infra.processes.alone import record_log
from horae.infra.replaying import Replay
from horae.infra.settings import Settings
from tests.api.world import World, make_world
from tests.fixtures.postgres import Database
from tests.simulation.history import run


@pytest.fixture(scope="module")
def log() -> list[Recorded]:
    """What was stored in a history full of trouble."""
    stored: list[Recorded] = []
    assert run("1004", log=stored).broken is None
    return stored


def lines_of(log: Sequence[Recorded]) -> str:
    lines = []
    for event in log:
        name, state = codec.dump(NewEvent(event.stream, event.version, event.meta, event.body))
        said = {"position": event.position, "stream": str(event.stream), "version": event.version, "event": name}
        lines.append(json.dumps({**said, "state": json.loads(state)}))
    return "\n".join(lines) + "\n"


def test_what_was_decided_is_decided_again(log: list[Recorded]) -> None:
    """Every claim, miss and unclaimed end of a history with crashes, pauses and wrong clocks."""
    replayed = Replay().run(log)
    assert replayed.findings == []
    assert replayed.decided >= 10
    assert replayed.position == len(log)
    ended = {event.stream for event in log if isinstance(event.body, o.OccurrenceEnded)}
    assert sum(replayed.outcomes().values()) >= len(ended)


def test_until_a_position_it_is_as_it_was_then(log: list[Recorded]) -> None:
    """The slot that the next event claims waits; after that event it does not."""
    claim = next(event for event in log if isinstance(event.body, o.OccurrenceClaimed))
    before = Replay().run(log[: claim.position - 1])
    assert claim.stream in {row.occurrence for row in before.due()}
    before.take(claim)
    assert claim.stream in {occurrence for occurrence, _, _ in before.under_way()}
    assert claim.stream not in {row.occurrence for row in before.due()}


def test_what_is_decided_otherwise_today_is_found(log: list[Recorded]) -> None:
    """A claim that is not what planning and deciding make of the same past, and one without an active schedule."""
    claim = next(event for event in log if isinstance(event.body, o.OccurrenceClaimed))
    body: Any = claim.body
    forged = replace(claim, body=body.model_copy(update={"schedule_version": 7}))
    problems = [finding.problem for finding in Replay().run([*log[: claim.position - 1], forged]).findings]
    assert any("version 7" in problem for problem in problems)
    assert any("decided otherwise today: schedule_version" in problem for problem in problems)


def test_a_log_with_a_hole_is_refused(log: list[Recorded]) -> None:
    """Half a past is none."""
    with pytest.raises(Invalid, match="goes on at position 3"):
        Replay().run([*log[:2], *log[3:]])


def test_a_line_that_is_no_event_is_named(log: list[Recorded]) -> None:
    """By its number."""
    lines = [*lines_of(log[:2]).splitlines(), "{}"]
    with pytest.raises(Invalid) as refused:
        list(logfile.read(lines))
    assert (refused.value.field, refused.value.value) == ("line", 3)


def test_the_command_tells_and_exits_by_what_it_found(log: list[Recorded], tmp_path: Path) -> None:
    """0 and a report where all is well; what is behind `--until` is not even read."""
    register(app)
    file = tmp_path / "log.ndjson"
    file.write_text(lines_of(log) + "broken\n", encoding="utf-8")
    told = CliRunner().invoke(app, ["replay", str(file), "--until", str(len(log) - 1), "--json"])
    assert told.exit_code == 0, told.output
    said = json.loads(told.stdout)
    assert (said["position"], said["findings"]) == (len(log) - 1, [])
    assert said["decided_again"] >= 10


async def test_the_log_of_a_store_is_recorded(log: list[Recorded], database: Database) -> None:
    """Event by event as it is stored, up to a position; read back it is the same."""
    async with PostgresEventStore(database.owner_dsn) as store:
        for event in log:
            await store.append([NewEvent(event.stream, event.version, event.meta, event.body)])
    file = io.StringIO()
    assert await logfile.record(database.owner_dsn, file, until=len(log) - 1) == len(log) - 1
    assert list(logfile.read(io.StringIO(file.getvalue()))) == log[:-1]


KEEPING = {"id": "office", "skip_weekends": True, "skip_holidays": True}


async def _days_pass(world: World, days: int) -> None:
    for _ in range(days):
        world.pass_time(days=1)
        for attempt in await world.claim_due():
            await world.deliver(attempt)


async def test_written_calendars_count_as_they_were_written_then(database: Database, tmp_path: Path) -> None:
    """One of a country that names another, and both change between two claims: every decision comes out again."""
    file = tmp_path / "log.ndjson"
    async with make_world(database) as world:

        async def put(calendar: str, **definition: Any) -> None:
            answer = await world.client.put(f"/v1/calendars/{calendar}", json=definition)
            assert answer.status_code in (200, 201), answer.text

        await put("shutdown", days=[{"date": "2026-12-03", "name": "the move"}])
        await put("office", country="DE", subdivision="BY", plus=["shutdown"])
        timing = {"kind": "every", "cron": "0 9 * * *", "zone": "Europe/Berlin", "calendar": KEEPING}
        created = await world.create(timing=timing)
        other = await world.create(timing=timing | {"cron": "0 10 25 * *"})
        await _days_pass(world, 12)
        await put("shutdown", days=[{"date": "2026-12-28", "until": "2026-12-30", "name": "stock-taking"}])
        await _days_pass(world, 12)
        await put("office", country="DE", subdivision="BE", plus=["shutdown"], days=[{"date": "2026-12-31"}])
        await _days_pass(world, 20)
        fired = [item["slot"] for item in (await world.get(f"/v1/schedules/{created['id']}/occurrences"))["items"]]
        assert "2026-12-03T09:00:00" not in fired
        (late,) = (await world.get(f"/v1/schedules/{other['id']}/occurrences"))["items"]
        assert late["due_at"] > "2027-01-01"
        with file.open("w", encoding="utf-8") as lines:
            await logfile.record(database.owner_dsn, lines)
    with file.open(encoding="utf-8") as lines:
        replayed = Replay().run(logfile.read(lines))
    assert replayed.findings == []
    assert replayed.decided >= len(fired) + 1


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_a_record_that_fails_leaves_no_file(database: Database, tmp_path: Path) -> None:
    """Half of a log looks like a log; and the same command works once the cause is mended."""
    file = tmp_path / "log.ndjson"
    nowhere = Settings(dsn=SecretStr(database.owner_dsn.rpartition("/")[0] + "/nowhere"), data=tmp_path)
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await record_log(nowhere, file, until=None, embedded=False)
    assert names_in(tmp_path) == []
    there = Settings(dsn=SecretStr(database.owner_dsn), data=tmp_path)
    assert await record_log(there, file, until=None, embedded=False) == 0
    assert names_in(tmp_path) == [file.name]
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        await record_log(there, file, until=None, embedded=False)
    assert names_in(tmp_path) == [file.name]
