"""The named points for crash tests: off by default, and exactly where they are said to be."""

import asyncio
import os
from datetime import timedelta
from pathlib import Path

import pytest

from horae.streams.faults import Faults, Point
from tests.streams.worker import NOON, Worker, at, one_off

DUE = NOON + timedelta(minutes=1)


class Watched(Faults):
    """Tells when its point is reached."""

    def __init__(self, point: str) -> None:
        super().__init__(point)
        self.reached = asyncio.Event()

    async def at(self, point: Point) -> None:
        if point == self.point:
            self.reached.set()
        await super().at(point)


async def test_without_a_setting_every_point_is_passed() -> None:
    """And an empty one is none."""
    for faults in (Faults(), Faults.from_environment({}), Faults.from_environment({"HORAE_FAULT": ""})):
        await faults.at("claim_committed")
        await faults.at("sent")


async def test_it_hangs_at_the_nth_passage_and_says_so(tmp_path: Path) -> None:
    """The marker is written before it hangs, so that whoever waits for it may kill."""
    marker = tmp_path / "reached"
    faults = Faults.from_environment({"HORAE_FAULT": "sent:2", "HORAE_FAULT_FILE": str(marker)})
    await faults.at("claim_committed")
    await faults.at("sent")
    hung = asyncio.create_task(faults.at("sent"))
    await asyncio.sleep(0)
    assert (marker.read_text(), hung.done()) == (f"sent {os.getpid()}\n", False)
    hung.cancel()


def test_the_setting_may_stand_in_a_file(tmp_path: Path) -> None:
    """Which a test changes while the service runs: it holds for whoever begins to work next."""
    file = tmp_path / "fault"
    file.write_text("")
    environment = {"HORAE_FAULT": f"@{file}"}
    assert Faults.from_environment(environment).point is None
    file.write_text("claim_committed:7\n")
    faults = Faults.from_environment(environment)
    assert (faults.point, faults.after) == ("claim_committed", 7)


def test_an_unknown_point_is_refused() -> None:
    """A crash test that never crashes would prove nothing."""
    with pytest.raises(ValueError, match="use claim_committed"):
        Faults.from_environment({"HORAE_FAULT": "sometimes"})


@pytest.mark.parametrize(("point", "released"), [("claim_committed", 0), ("sent", 1)])
async def test_the_points_lie_between_claim_release_and_result(worker: Worker, point: str, released: int) -> None:
    """*Claim committed, not sent* and *sent, not recorded*: the log holds the claim and nothing else."""
    faults = Watched(point)
    dispatcher = worker.dispatcher(faults=faults, stop_s=0.01)
    schedule = await worker.create(at(DUE))
    await worker.settle()
    worker.clock.set(DUE)
    dispatcher.wake()
    await faults.reached.wait()
    assert len(worker.channel.releases) == released
    assert await worker.story(one_off(schedule, DUE)) == ["claimed"]
    await dispatcher.stop()
