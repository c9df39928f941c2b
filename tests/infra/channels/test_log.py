"""The release log: whole lines on disk, also after a crash in the middle of one."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from horae.domain.channel import Log
from horae.infra.channels import LogChannel
from horae.infra.channels.log import FILE_NAME
from horae.streams.channels import ReleaseFailed
from tests.contracts.channel import Arrived, ChannelContract, release_to


@pytest.fixture
async def channel(tmp_path: Path) -> AsyncIterator[LogChannel]:
    """A log in a folder that does not exist yet."""
    channel = LogChannel(tmp_path / "data")
    yield channel
    await channel.aclose()


@pytest.fixture
def arrived(tmp_path: Path) -> Arrived:
    """The lines of the file."""
    return lambda: [json.loads(line) for line in (tmp_path / "data" / FILE_NAME).read_text("utf-8").splitlines()]


class TestLogChannel(ChannelContract):
    """The contract."""


async def test_a_torn_line_is_closed_off(tmp_path: Path) -> None:
    """After a crash in the middle of a line every later line can be read."""
    (tmp_path / FILE_NAME).write_text('{"whole": 1}\n{"torn": "in the mid', encoding="utf-8")
    channel = LogChannel(tmp_path)
    await channel.release(release_to(Log()))
    await channel.aclose()
    lines = (tmp_path / FILE_NAME).read_text("utf-8").splitlines()
    assert lines[1] == '{"torn": "in the mid'
    assert json.loads(lines[2])["recipient"] == "ann"


async def test_two_runs_append(tmp_path: Path) -> None:
    """A restart keeps what is there."""
    for number in (1, 2):
        channel = LogChannel(tmp_path)
        await channel.release(release_to(Log(), number))
        await channel.aclose()
    assert len((tmp_path / FILE_NAME).read_text("utf-8").splitlines()) == 2


async def test_a_closed_log_takes_nothing(tmp_path: Path) -> None:
    """The failure says that nothing arrived, so that even at_most_once may try again."""
    channel = LogChannel(tmp_path)
    await channel.aclose()
    with pytest.raises(ReleaseFailed) as failed:
        await channel.release(release_to(Log()))
    assert failed.value.failure.nothing_arrived


async def test_a_full_disk_is_a_failure_that_may_be_repeated(tmp_path: Path) -> None:
    """Nobody can tell how much of the batch was written, so it does not say that nothing arrived."""
    (tmp_path / FILE_NAME).symlink_to("/dev/full")
    channel = LogChannel(tmp_path)
    with pytest.raises(ReleaseFailed) as failed:
        await channel.release(release_to(Log()))
    await channel.aclose()
    failure = failed.value.failure
    assert (failure.kind, failure.retryable, failure.nothing_arrived) == ("io", True, False)
