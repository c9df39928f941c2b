"""The real processes as a newcomer meets them: it fires, says why, its printed words work, its secrets are kept."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from tests.e2e.harness import Service
from tests.e2e.live import of, running
from tests.e2e.profiles import Profile
from tests.e2e.receiver import Receiver
from tests.e2e.talking import KEY, PATIENCE_S

# One service for all of them: starting one costs seconds.
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("e2e"), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(profile: Profile) -> AsyncIterator[Service]:
    """A running service on real time."""
    async with running(profile) as live:
        yield live.service


@pytest.mark.covers("SCH-01")
async def test_a_schedule_fires_on_log_and_can_say_why(service: Service) -> None:
    """Asked for now, released at once, and explained in words down to the zone and the outcome."""
    async with service.client() as client:
        created = await service.create(client, recipient="user-17", content={"subject": "Hello"})
        (event,) = await service.until(of(created["id"], "occurrence.ended.v1"))
        assert event["data"]["outcome"] == "delivered"
        (release,) = [line for line in service.releases() if line["schedule_id"] == created["id"]]
        assert (release["recipient"], release["content"]) == ("user-17", {"subject": "Hello"})
        page = (await client.get(f"/v1/schedules/{created['id']}/occurrences")).json()
        assert [item["id"] for item in page["items"]] == [release["occurrence_id"]]
        explained = (await client.get(f"/v1/occurrences/{release['occurrence_id']}/explain")).json()
        assert explained["verdict"] == "delivered"
        assert any("Claimed by worker" in sentence for sentence in explained["story"])


async def test_a_webhook_gets_a_signed_release(service: Service, hooks: Receiver) -> None:
    """The receiver sees the occurrence's id, a signature and the content."""
    async with service.client() as client:
        created = await service.create(client, channel=hooks.channel, content={"subject": "Hello"})
        (request,) = await hooks.received(1)
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


async def test_a_second_run_on_the_same_folder_is_refused(service: Service) -> None:
    """The error names the folder and the process; the first goes on."""
    second = Service(service.data, environment=service.environment)
    process = await second.spawn()
    assert await process.wait() == 1
    assert f"in use by another `horae run` (process {service.pid})" in second.tail()
    async with service.client() as client:
        assert (await client.get("/readyz")).status_code == 200


async def test_a_taken_port_is_refused(service: Service) -> None:
    """The error names the port and the flag."""
    other = Service(service.data.with_name("other"), environment=service.environment)
    other.port = service.port
    process = await other.spawn()
    assert await process.wait() == 1
    assert f"Port {service.port} on 127.0.0.1 is taken" in other.tail()
    assert "--port" in other.tail()


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
