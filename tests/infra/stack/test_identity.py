"""A process is known again by its start, not by its number."""

import dataclasses
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from horae.infra.stack.identity import ProcessIdentity
from horae.infra.stack.state import ServerState, StackState, end


@pytest.fixture
def other() -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends when it is asked to, but not by SIGINT, as what a script starts in the background."""
    process = subprocess.Popen(
        [sys.executable, "-c", "input()"],
        stdin=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    yield process
    process.kill()
    process.wait()


def _identity(pid: int) -> ProcessIdentity:
    identity = ProcessIdentity.of(pid)
    assert identity is not None
    return identity


def test_a_process_is_known_again(other: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """Also by another command, which reads what this one wrote; and no longer once it has ended."""
    _identity(other.pid).write(tmp_path / "process")
    read = ProcessIdentity.read(tmp_path / "process")
    assert read is not None
    read.send(signal.SIGKILL)
    other.wait()
    assert not read.alive
    assert ProcessIdentity.of(other.pid) is None


def test_a_reused_number_is_another_process(other: subprocess.Popen[bytes]) -> None:
    """A signal meant for an ended process does not reach the one that has its number now."""
    former = dataclasses.replace(_identity(other.pid), started="before")
    assert not former.alive
    former.send(signal.SIGKILL)
    assert other.poll() is None


def test_down_leaves_strangers_alone(other: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """Of a stack whose machine was restarted nothing runs, whoever has its processes' numbers now."""
    stranger = dataclasses.replace(_identity(other.pid), started="before")
    StackState(stranger, {"Kafka": ServerState("ready", process=stranger)}).write(tmp_path)
    assert end(tmp_path, within_s=1) == []
    assert other.poll() is None
    assert StackState.read(tmp_path) is None


def test_down_ends_servers_whose_keeper_is_gone(other: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """They are asked themselves."""
    gone = dataclasses.replace(_identity(os.getpid()), started="before")
    StackState(gone, {"Kafka": ServerState("ready", process=_identity(other.pid))}).write(tmp_path)
    assert end(tmp_path, within_s=60) == ["Kafka"]
    assert other.wait() != 0
