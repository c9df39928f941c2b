"""`horae stack`: three real servers by one command, found by the next, and ended by a third."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import psycopg
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from horae.infra.stack.identity import ProcessIdentity
from horae.infra.stack.state import StackState
from tests.fixtures.stack import require_tools

pytestmark = [pytest.mark.stack, pytest.mark.timeout(1800)]


def _horae(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "horae.infra.cli.main", "stack", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _settings(printed: str) -> dict[str, str]:
    return dict(re.findall(r"^export (\w+)=(.+)$", printed, re.MULTILINE))


async def test_up_status_down(stack_folder: Callable[[str], Path]) -> None:
    """What `up` prints works as printed, also after the command has ended; `down` ends all of it and keeps the data."""
    require_tools()
    data = stack_folder("stack")
    up = _horae("up", "--data", str(data))
    try:
        assert up.returncode == 0, up.stderr
        settings = _settings(up.stdout)
        with psycopg.connect(settings["HORAE_DSN"]) as connection:
            connection.execute("CREATE TABLE kept ()")
        async with httpx.AsyncClient(base_url=settings["ELASTICSEARCH_URL"], timeout=60) as client:
            assert (await client.get("/_cluster/health")).status_code == 200
        admin = AIOKafkaAdminClient(bootstrap_servers=settings["KAFKA_BROKERS"])
        await admin.start()
        await admin.close()

        env = _horae("status", "--env", "--data", str(data))
        assert (env.returncode, _settings(env.stdout)) == (0, settings)
        told = json.loads(_horae("status", "--json", "--data", str(data)).stdout)
        assert {name: one["state"] for name, one in told.items()} == {
            "PostgreSQL": "ready",
            "Kafka": "ready",
            "Elasticsearch": "ready",
        }
        assert "It is up already" in _horae("up", "--data", str(data)).stdout
        ran = [ProcessIdentity.of(one["pid"]) for one in told.values()]
    finally:
        down = _horae("down", "--data", str(data))
    assert down.stdout == "Stopped PostgreSQL, Kafka, Elasticsearch.\n"
    assert [identity.alive for identity in ran if identity] == [False, False, False]
    after = _horae("status", "--data", str(data))
    assert (after.returncode, after.stdout.split(" runs ")[0]) == (1, "No stack")


def test_a_killed_keeper_takes_its_servers_along(stack_folder: Callable[[str], Path]) -> None:
    """After `kill -9` of the process that keeps them, they end by themselves, and `up` finds the data and the ports."""
    require_tools()
    data = stack_folder("stack")
    try:
        up = _horae("up", "--data", str(data))
        assert up.returncode == 0, up.stderr
        state = StackState.read(data / "stack")
        assert state is not None
        os.kill(state.keeper.pid, signal.SIGKILL)
        again = _horae("up", "--data", str(data))
        assert again.returncode == 0, again.stderr
        assert _settings(again.stdout)["KAFKA_BROKERS"] == _settings(up.stdout)["KAFKA_BROKERS"]
        assert not any(server.alive for server in state.servers.values())
    finally:
        assert _horae("down", "--data", str(data)).returncode == 0


def test_a_missing_tool_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is started, and no stack trace is shown."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    up = _horae("up", "--data", str(tmp_path / "data"))
    assert up.returncode == 1
    assert up.stderr.startswith("Error: Kafka and Elasticsearch need Java 17 or newer")
    assert "Traceback" not in up.stderr
    assert not (tmp_path / "data").exists()
    assert _horae("check").returncode == 1
