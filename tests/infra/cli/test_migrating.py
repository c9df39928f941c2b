"""`horae migrate`: the job that runs before the processes of a new version start."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from horae.infra.cli import main as cli
from horae.infra.postgres import OWNER_ROLE, Cluster
from horae.infra.postgres.migrations import read_migrations
from horae.infra.setting_sources import named
from horae.infra.settings import Settings
from horae.infra.stack import KafkaServer


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty folder, and of the environment only the master key."""
    monkeypatch.chdir(tmp_path)
    for field in Settings.model_fields.values():
        monkeypatch.delenv(named(field).env, raising=False)
    monkeypatch.setenv("ENCRYPTION_KEY", "ab" * 32)


@pytest.fixture
def empty(cluster: Cluster) -> str:
    """The owner's URI of a database with nothing in it."""
    cluster.create_database("horae_to_migrate")
    return cluster.dsn(OWNER_ROLE, "horae_to_migrate")


def horae(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit code of a command line."""
    monkeypatch.setattr(sys, "argv", ["horae", *arguments])
    try:
        cli.main()
    except SystemExit as left:
        return int(left.code or 0)
    return 0


def test_it_prepares_an_empty_database_and_may_be_repeated(
    empty: str, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Migrations, read models and the first key are there, and a second run changes nothing."""
    monkeypatch.setenv("HORAE_API_KEY", "hk_first")

    async def facts() -> tuple[int, int, bool]:
        connection = await asyncpg.connect(empty)
        try:
            return (
                await connection.fetchval("SELECT count(*) FROM sys.migrations"),
                await connection.fetchval("SELECT count(*) FROM log.events"),
                await connection.fetchval("SELECT to_regclass('read.positions') IS NOT NULL"),
            )
        finally:
            await connection.close()

    try:
        assert horae(monkeypatch, "migrate", "--dsn", empty) == 0
        first = asyncio.run(facts())
        assert first == (len(read_migrations()), 1, True)
        assert horae(monkeypatch, "migrate", "--dsn", empty) == 0
        assert asyncio.run(facts()) == first
    finally:
        cluster.drop_database("horae_to_migrate")


@pytest.mark.stack
def test_in_the_stack_profile_it_makes_the_topics(
    empty: str,
    cluster: Cluster,
    kafka: KafkaServer,
    topic_prefix: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Before any process can ask a broker for a topic that is not there; a repeat finds them all."""
    monkeypatch.setenv("KAFKA_BROKERS", kafka.bootstrap)
    monkeypatch.setenv("HORAE_KAFKA_TOPIC_PREFIX", topic_prefix)
    monkeypatch.setenv("HORAE_KAFKA_PARTITIONS", "3")
    try:
        for _ in range(2):
            assert horae(monkeypatch, "migrate", "--dsn", empty, "--profile", "stack") == 0
            assert "Every topic is there" in capsys.readouterr().out
    finally:
        cluster.drop_database("horae_to_migrate")

    async def partitions() -> dict[str, int]:
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
        await admin.start()
        try:
            names = [name for name in await admin.list_topics() if name.startswith(topic_prefix)]
            return {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics(names)}
        finally:
            await admin.close()

    found = asyncio.run(partitions())
    assert found[f"{topic_prefix}horae-log"] == 3


def test_a_database_that_is_away_is_said_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once the settings' patience is over: exit code 1 and what to look at, so that the job is run again."""
    monkeypatch.setenv("POSTGRES_CONNECTION_TIMEOUT", "100")
    assert horae(monkeypatch, "migrate", "--dsn", "postgresql://horae@127.0.0.1:1/horae") == 1
    written = capsys.readouterr().err
    assert "PostgreSQL does not answer" in written
    assert "HORAE_DSN" in written


def test_a_role_that_is_refused_is_no_reason_to_wait(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong password stays wrong."""
    wrong = cluster.dsn(OWNER_ROLE).replace(f"{OWNER_ROLE}:", f"{OWNER_ROLE}:not-", 1)
    assert horae(monkeypatch, "migrate", "--dsn", wrong) == 1
    assert "refuses the owner's role" in capsys.readouterr().err
