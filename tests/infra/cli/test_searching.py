"""`horae search`, `horae indexer` and `horae rebuild --search`: the commands against what they stand on."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from horae.infra.cli.searching import _question, coloured
from horae.infra.stack import ElasticsearchServer
from tests.contracts.search_index import tell
from tests.fixtures.postgres import Database
from tests.infra.elasticsearch.world import fill_read_models, open_search

if TYPE_CHECKING:
    from horae.projections.schema import Connection


def test_hits_are_coloured_and_the_rest_is_as_it_was_written() -> None:
    """No markup of ours or of others reaches the terminal."""
    text = coloured("&lt;b&gt; a &amp; [red] <mark>hit</mark> and <mark>two</mark>")
    assert text.plain == "<b> a & [red] hit and two"
    assert [text.plain[span.start : span.end] for span in text.spans if span.style] == ["hit", "two"]


def test_an_argument_with_spaces_is_a_phrase() -> None:
    """As the shell has unquoted it."""
    assert _question(["weekly report", "inv*", "-draft", '-"not this"']) == '"weekly report" inv* -draft -"not this"'


@contextmanager
def horae(environment: dict[str, str], folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A running command, ended afterwards."""
    process = subprocess.Popen(
        [sys.executable, "-m", "horae.infra.cli.main", *arguments],
        cwd=folder,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.stack
@pytest.mark.timeout(300)
@pytest.mark.covers("EXT-19")
async def test_an_indexer_alone_fills_and_a_rebuild_compares(
    elasticsearch: ElasticsearchServer, database: Database, index_prefix: str, tmp_path: Path
) -> None:
    """Without Kafka it asks the log; it stops on SIGTERM; the rebuild prints equal sums and leaves a new index."""
    elasticsearch.start()
    environment = {
        "HORAE_DSN": database.owner_dsn,
        "ELASTICSEARCH_URL": elasticsearch.url,
        "HORAE_ELASTICSEARCH_PREFIX": index_prefix,
        "ENCRYPTION_KEY": "ab" * 32,
    }
    events = tell()
    conn = await fill_read_models(database.owner_dsn, events)
    async with open_search(elasticsearch.url, index_prefix, make=False) as search:
        with horae(environment, tmp_path, "indexer") as process:
            await until_indexed(conn, len(events), process)
            process.send_signal(signal.SIGTERM)
            output, _ = await asyncio.to_thread(process.communicate, timeout=30)
            assert process.returncode == 0, output
        before = await search.indices.names()
        with horae(environment, tmp_path, "rebuild", "--search", "--json") as process:
            output, _ = await asyncio.to_thread(process.communicate, timeout=120)
        reports = json.loads(output[output.index("[\n") :])
        assert [report["same"] for report in reports] == [True] * 3
        assert [report["rows"]["documents"] for report in reports] == [9, 3, len(events)]
        assert all(report["rows"] == report["indexed"] for report in reports)
        assert not set(before) & set(await search.indices.names())
    await conn.close()


async def until_indexed(conn: Connection, position: int, process: subprocess.Popen[str]) -> None:
    """The indexer has stored that every shard is there."""
    while await conn.fetchval("SELECT min(position) FROM sys.search_positions") < position:
        assert process.poll() is None, process.communicate()[0]
