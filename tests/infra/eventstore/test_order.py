"""One order for everything: positions are the order of commits, with any number of writing processes."""

import asyncio
import sys
from pathlib import Path

from tests.fixtures.postgres import Database

_ROOT = Path(__file__).parents[3]


async def _run(role: str, dsn: str, events: int) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.infra.eventstore.crowd", role, dsn, str(events)),
        cwd=_ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0
    return said.decode()


async def test_no_reader_ever_skips_a_position(database: Database) -> None:
    """Four processes write, two read along by different ways: each reader sees 1, 2, 3, … without a gap or a repeat."""
    writers, events = 4, 2_000
    results = await asyncio.gather(
        _run("poll", database.owner_dsn, writers * events),
        _run("follow", database.owner_dsn, writers * events),
        *(_run("write", database.owner_dsn, events) for _ in range(writers)),
    )
    assert results[:2] == ["", ""]
    assert [int(stored) for stored in results[2:]] == [events] * writers
