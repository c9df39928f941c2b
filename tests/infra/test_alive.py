"""The sign of life of a process in a container: given while its loop turns, asked for by a probe without a database."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from horae.infra import alive
from horae.infra.watchdog import watch_loop


class _Api(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing: nobody reads it."""


@pytest.fixture
def api() -> Iterator[tuple[str, int]]:
    """Something that answers /healthz with 200."""
    server = HTTPServer(("127.0.0.1", 0), _Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield "127.0.0.1", server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture
def nobody() -> tuple[str, int]:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        name: tuple[str, int] = probe.getsockname()
        return name


def test_a_young_file_is_life_and_an_old_one_is_not(tmp_path: Path, nobody: tuple[str, int]) -> None:
    """The reason names the age."""
    file = tmp_path / "alive"
    alive.give_sign(file)
    assert alive.fault(file, nobody) is None
    os.utime(file, (file.stat().st_atime, file.stat().st_mtime - 3600))
    assert "old" in (alive.fault(file, nobody) or "")


def test_without_a_file_the_api_of_the_container_is_asked(
    tmp_path: Path, api: tuple[str, int], nobody: tuple[str, int]
) -> None:
    """One probe serves every command of the image; before anything lives it says what it looked for."""
    assert alive.fault(tmp_path / "alive", api) is None
    assert alive.fault(None, api) is None
    assert "no API on port" in (alive.fault(tmp_path / "alive", nobody) or "")


def test_the_probe_is_a_program_with_an_exit_code(tmp_path: Path, nobody: tuple[str, int]) -> None:
    """As an orchestrator runs it; it imports no library of the service."""
    environment = {alive.VARIABLE: str(tmp_path / "alive"), "SCHEDULING_ENGINE_PORT": str(nobody[1])}
    command = [sys.executable, "-m", "horae.infra.alive"]
    before = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (before.returncode, "no sign of life" in before.stderr) == (1, True)
    (tmp_path / "alive").touch()
    loaded = "import sys, horae.infra.alive; print(*{name.partition('.')[0] for name in sys.modules})"
    assert subprocess.run(command, env=environment, check=False).returncode == 0
    imported = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout.split()
    assert {"asyncio", "pydantic", "asyncpg", "structlog"} & set(imported) == set()


async def test_a_loop_that_turns_gives_the_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where the environment names a file."""
    given = asyncio.Event()
    loop = asyncio.get_running_loop()
    signs: list[Path] = []

    def notice(file: Path) -> None:
        signs.append(file)
        loop.call_soon_threadsafe(given.set)

    monkeypatch.setattr(alive, "give_sign", notice)
    monkeypatch.setenv(alive.VARIABLE, str(tmp_path / "alive"))
    watch_loop(loop, 5.0, 75)
    async with asyncio.timeout(30):
        await given.wait()
    assert set(signs) == {tmp_path / "alive"}
