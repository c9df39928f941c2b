"""The life of the real processes: a stop, a kill of any of them, a start again, and what is refused at the door."""

from __future__ import annotations

import contextlib
import os
import signal
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import MakeService
from tests.e2e.harness import Service, ended
from tests.e2e.live import of

pytestmark = [pytest.mark.longer, pytest.mark.e2e, pytest.mark.xdist_group("e2e-lives")]


async def test_a_restart_resumes(make_service: MakeService) -> None:
    """What was accepted before a clean stop fires after the next start; the key still works."""
    service = await make_service(clock="virtual=2027-01-01T00:00:00Z").start()
    async with service.client() as client:
        created = await service.create(client, timing={"kind": "in", "delay": "PT1H"})
    assert await service.stop() == 0
    await service.start()
    async with service.client() as client:
        answer = (await client.post("/v1/clock/advance", json={"by": "PT2H"})).json()
        assert answer["now"] == "2027-01-01T02:00:00Z"
        assert [release["schedule_id"] for release in service.releases()] == [created["id"]]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_stop_signal_leaves_no_process(make_service: MakeService, number: signal.Signals) -> None:
    """Exit code 0, and nothing of the family lives."""
    service = await make_service().start()
    family = service.family()
    assert {"api", "worker", "postgres"} <= family.keys()
    os.kill(service.pid, number)
    assert await service.stop() == 0
    for pid in family.values():
        await ended(pid)


@pytest.mark.crash
async def test_killing_the_supervisor_leaves_no_process_and_the_next_start_resumes(make_service: MakeService) -> None:
    """kill -9 of it takes everything along; what had been acknowledged is there and fires."""
    service = await make_service().start()
    async with service.client() as client:
        created = await service.create(client, timing={"kind": "in", "delay": "PT1S"})
    family = service.family()
    await service.kill()
    for pid in family.values():
        await ended(pid)
    await service.start()
    (event,) = await service.until(of(created["id"], "occurrence.ended.v1"))
    assert event["data"]["outcome"] == "delivered"
    (release,) = service.releases()
    assert release["schedule_id"] == created["id"]
    async with service.client() as client:
        told = (await client.get(f"/v1/occurrences/{release['occurrence_id']}/explain")).json()
    # Nearly always it was due before anybody was there again, and then it says so.
    (claimed,) = [decision for decision in told["decisions"] if decision["code"] == "claimed"]
    conn = await service.connect()
    started = await conn.fetchval("SELECT started_at FROM sys.incarnations WHERE id = $1", claimed["facts"]["owner"])
    await conn.close()
    late = started > datetime.fromisoformat(told["due_at"])
    assert ("worker_started_at" in claimed["facts"], "had started" in claimed["text"]) == (late, late)


@pytest.mark.crash
@pytest.mark.covers("REL-18", "REL-19")
@pytest.mark.parametrize("victim", ["postgres", "api", "worker"])
async def test_whatever_is_killed_comes_back(service: Service, victim: str) -> None:
    """kill -9 of a part: nothing acknowledged is lost, and new schedules are accepted and fire, by themselves."""
    async with service.client() as client:
        before = await service.create(client, timing={"kind": "in", "delay": "PT1S"})
        pid = service.family()[victim]
        os.kill(pid, signal.SIGKILL)
        await ended(pid)
        (event,) = await service.until(of(before["id"], "occurrence.ended.v1"))
        assert event["data"]["outcome"] == "delivered"
    others = {name: pid for name, pid in service.family().items() if name in ("api", "worker", "postgres")}
    async with service.client(transport=httpx.AsyncHTTPTransport(retries=5)) as client:
        after = await service.create(client)
        (event,) = await service.until(of(after["id"], "occurrence.ended.v1"))
        assert event["data"]["outcome"] == "delivered"
    # The others reconnected; they did not end and start anew.
    assert {name: pid for name, pid in service.family().items() if name in others} == others
    assert [release["schedule_id"] for release in service.releases()] == [before["id"], after["id"]]


@pytest.mark.crash
async def test_the_fork_server_takes_its_own_along_and_all_come_back(service: Service) -> None:
    """kill -9 of what API and workers were forked from: they end with it, and others are forked from the next."""
    family = service.family()
    os.kill(family["forkserver"], signal.SIGKILL)
    for name in ("forkserver", "api", "worker"):
        await ended(family[name])
    async with service.client(transport=httpx.AsyncHTTPTransport(retries=5)) as client:
        created = await service.create(client, timing={"kind": "in", "delay": "PT1S"})
        (event,) = await service.until(of(created["id"], "occurrence.ended.v1"))
    assert event["data"]["outcome"] == "delivered"
    assert family["postgres"] == service.family()["postgres"]


async def test_nothing_but_the_program_is_forked(service: Service) -> None:
    """The fork server has one thread, as a fork takes no other along, and no socket but the supervisor's."""
    server = Path(f"/proc/{service.family()['forkserver']}")
    assert [task.name for task in (server / "task").iterdir()] == [server.name]
    sockets = [name for name in _open_files(server) if name.startswith("socket:")]
    listening = _open_files(Path(f"/proc/{service.pid}"))
    # One to the supervisor, and the one on which the API listens.
    assert len(sockets) == 2
    assert len([name for name in sockets if name in listening]) == 1
    # What is forked has of all that the listening socket, and the pipe whose end tells it that the server is gone.
    worker = _open_files(Path(f"/proc/{service.family()['worker']}"))
    shared = set(worker) & {name for name in _open_files(server) if name.startswith(("socket:", "pipe:"))}
    assert len(shared - set(listening)) == 1


def _open_files(process: Path) -> list[str]:
    names = []
    for link in (process / "fd").iterdir():
        with contextlib.suppress(OSError):
            names.append(str(link.readlink()))
    return names


async def test_a_wrong_setting_is_refused_by_name(make_service: MakeService) -> None:
    """Before anything is started or written."""
    service = make_service(clock="virtual=tomorrow")
    process = await service.spawn()
    assert await process.wait() == 1
    assert "--clock" in service.tail()
    assert not service.data.exists()


async def test_real_and_virtual_time_cannot_be_mixed(make_service: MakeService) -> None:
    """Data of one kind of clock refuses the other, and says which flag is right."""
    service = await make_service().start()
    await service.stop()
    service.clock = "virtual=2027-01-01T00:00:00Z"
    process = await service.spawn()
    assert await process.wait() == 1
    assert "leave --clock out" in service.tail()
