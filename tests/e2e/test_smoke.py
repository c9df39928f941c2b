"""The real processes, from the first request to the last signal: it fires, it resumes, it heals, it stops."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import MakeService
from tests.e2e.harness import KEY, PATIENCE_S, Service, ended, free_port
from tests.e2e.receiver import Receiver

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e")]


def of(schedule: str, name: str = "occurrence.ended.v1"):  # type: ignore[no-untyped-def]
    """Is this event of that name and that schedule?"""
    return lambda event: event["event"] == name and event["data"].get("schedule") == schedule


@pytest.mark.covers("SCH-01")
async def test_a_schedule_fires_on_log_and_can_say_why(service: Service) -> None:
    """Asked for now, released at once, and explained in words down to the zone and the outcome."""
    async with service.client() as client:
        created = await service.create(client, recipient="user-17", content={"subject": "Hello"})
        (event,) = await service.until(of(created["id"]))
        assert event["data"]["outcome"] == "delivered"
        (release,) = service.releases()
        assert release["schedule_id"] == created["id"]
        assert (release["recipient"], release["content"]) == ("user-17", {"subject": "Hello"})
        page = (await client.get(f"/v1/schedules/{created['id']}/occurrences")).json()
        assert [item["id"] for item in page["items"]] == [release["occurrence_id"]]
        explained = (await client.get(f"/v1/occurrences/{release['occurrence_id']}/explain")).json()
        assert explained["verdict"] == "delivered"
        assert any("Claimed by worker" in sentence for sentence in explained["story"])


async def test_a_webhook_gets_a_signed_release(service: Service, receiver: Receiver) -> None:
    """The receiver sees the occurrence's id, a signature and the content."""
    async with service.client() as client:
        created = await service.create(client, channel=receiver.channel, content={"subject": "Hello"})
        (request,) = await receiver.received(1)
        assert request.json["schedule_id"] == created["id"]
        assert request.json["content"] == {"subject": "Hello"}
        assert request.headers["webhook-signature"].startswith("v1,")
        assert request.occurrence == request.json["occurrence_id"]


async def test_what_was_printed_works_as_printed(service: Service) -> None:
    """The banner names the URL, the docs, a key and a request; the request, sent as it stands, is accepted."""
    text = "".join(service.output)
    body = re.search(r"-d '(\{.*\})'", text)
    url = re.search(r"curl -sS (\S+)", text)
    key = re.search(r"Authorization: Bearer (\S+)'", text)
    assert body
    assert url
    assert key
    assert (url[1], key[1]) == (f"http://localhost:{service.port}/v1/schedules", KEY)
    headers = {"Authorization": f"Bearer {key[1]}", "Content-Type": "application/json"}
    async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
        answer = await client.post(url[1], content=body[1], headers=headers)
        assert answer.status_code == 201
        docs = re.search(r"Docs\s+(\S+)", text)
        assert docs
        assert (await client.get(docs[1])).status_code == 200
    assert "releases.ndjson" in text


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
        created = await service.create(client, timing={"kind": "in", "delay": "PT2S"})
    family = service.family()
    await service.kill()
    for pid in family.values():
        await ended(pid)
    await service.start()
    (event,) = await service.until(of(created["id"]))
    assert event["data"]["outcome"] == "delivered"
    assert [release["schedule_id"] for release in service.releases()] == [created["id"]]


@pytest.mark.crash
@pytest.mark.covers("REL-18")
@pytest.mark.parametrize("victim", ["postgres", "api", "worker"])
async def test_whatever_is_killed_comes_back(service: Service, victim: str) -> None:
    """kill -9 of a part: nothing acknowledged is lost, and new schedules are accepted and fire, by themselves."""
    async with service.client() as client:
        before = await service.create(client, timing={"kind": "in", "delay": "PT1S"})
        pid = service.family()[victim]
        os.kill(pid, signal.SIGKILL)
        await ended(pid)
        (event,) = await service.until(of(before["id"]))
        assert event["data"]["outcome"] == "delivered"
    others = {name: pid for name, pid in service.family().items() if name in ("api", "worker", "postgres")}
    async with service.client(transport=httpx.AsyncHTTPTransport(retries=5)) as client:
        after = await service.create(client)
        (event,) = await service.until(of(after["id"]))
        assert event["data"]["outcome"] == "delivered"
    # The others reconnected; they did not end and start anew.
    assert {name: pid for name, pid in service.family().items() if name in others} == others
    assert [release["schedule_id"] for release in service.releases()] == [before["id"], after["id"]]


async def test_a_second_run_on_the_same_folder_is_refused(service: Service) -> None:
    """The error names the folder and the process; the first goes on."""
    second = Service(service.data)
    process = await second.spawn()
    assert await process.wait() == 1
    assert f"in use by another `horae run` (process {service.pid})" in second.tail()
    async with service.client() as client:
        assert (await client.get("/readyz")).status_code == 200


async def test_a_taken_port_is_refused(service: Service, make_service: MakeService) -> None:
    """The error names the port and the flag."""
    other = make_service()
    other.port = service.port
    process = await other.spawn()
    assert await process.wait() == 1
    assert f"Port {service.port} on 127.0.0.1 is taken" in other.tail()
    assert "--port" in other.tail()


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


async def test_virtual_time_runs_two_years_of_days_in_one_request(make_service: MakeService) -> None:
    """Each day of two years fires once at 09:00 local, across four clock changes; preview said so before."""
    service = await make_service(clock="virtual=2027-01-01T00:00:00Z").start()
    async with service.client() as client:
        timing = {"kind": "every", "cron": "0 9 * * *", "zone": "Europe/Berlin"}
        created = await service.create(client, timing=timing)
        preview = (await client.get(f"/v1/schedules/{created['id']}/preview", params={"count": 730})).json()
        answer = await client.post("/v1/clock/advance", json={"to": "2029-01-01T00:00:00Z"}, timeout=300)
        assert answer.status_code == 200, answer.text
    releases = service.releases()
    assert len(releases) == 731  # 2028 has a 29 February
    assert [release["due_at"] for release in releases][:730] == [slot["due_at"] for slot in preview["slots"]]
    assert {release["slot"][11:] for release in releases} == {"09:00:00"}
    hours = {datetime.fromisoformat(release["due_at"]).astimezone(UTC).hour for release in releases}
    assert hours == {7, 8}


async def test_the_data_folder_keeps_its_secrets(service: Service) -> None:
    """Whoever else may enter the folder reads neither keys nor passwords."""
    for name in ("api-key", "master-key", "postgres/secrets.json"):
        mode = stat.S_IMODE((service.data / name).stat().st_mode)
        assert mode == 0o600, name
    log = service.log.read_text()
    assert KEY not in log
    for password in json.loads((service.data / "postgres" / "secrets.json").read_text()).values():
        assert password not in log


async def test_no_secret_stands_in_arguments_or_environments(service: Service) -> None:
    """Of the children; what the operator typed is the operator's."""
    passwords = json.loads((service.data / "postgres" / "secrets.json").read_text()).values()
    master_key = (service.data / "master-key").read_text().strip()
    for name in ("api", "worker", "postgres"):
        folder = Path(f"/proc/{service.family()[name]}")
        for text in ((folder / "cmdline").read_bytes().decode(), (folder / "environ").read_bytes().decode()):
            assert not [secret for secret in (*passwords, master_key) if secret in text]


async def test_ports_given_to_tests_are_free() -> None:
    """The harness itself: two services never fight over a port by design."""
    assert free_port() != free_port()
