"""Newer zone data through the real processes: two real releases of 2025 and 2026, and what became law between them.

By 2025c Vancouver and Edmonton go back to standard time on 1 November 2026, and Casablanca stays at UTC+1; by 2026c
Vancouver and Edmonton keep daylight-saving time for good, and Casablanca is at UTC+0 from 20 September 2026. Every
expectation is worked out from these offsets by hand.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.e2e.conftest import MakeService
from tests.e2e.harness import Service
from tests.e2e.talking import PATIENCE_S
from tests.fixtures.zone_releases import ZoneReleases

pytestmark = [pytest.mark.longer, pytest.mark.e2e, pytest.mark.timeout(600)]

BEGIN = "2026-08-01T00:00:00Z"
VANCOUVER, EDMONTON, CASABLANCA = "America/Vancouver", "America/Edmonton", "Africa/Casablanca"


class Case(NamedTuple):
    """A schedule, and when it is due by either release."""

    timing: dict[str, Any]
    old: str
    new: str


def at(local: str, zone: str) -> dict[str, Any]:
    return {"kind": "at", "local": local, "zone": zone}


def every(cron: str, zone: str, **more: Any) -> dict[str, Any]:
    return {"kind": "every", "cron": cron, "zone": zone} | more


#: The second 01:30 of the night that went back: by the newer data there is one.
SECOND = every("30 1 1 11 *", VANCOUVER, overlap="second")
CASES = {
    "vancouver once": Case(at("2026-11-20T09:00", VANCOUVER), "2026-11-20T17:00:00Z", "2026-11-20T16:00:00Z"),
    "vancouver, old name": Case(
        at("2026-12-01T09:00", "Canada/Pacific"), "2026-12-01T17:00:00Z", "2026-12-01T16:00:00Z"
    ),
    "vancouver daily": Case(
        every("0 9 * * *", VANCOUVER, starts_at="2026-11-15"), "2026-11-15T17:00:00Z", "2026-11-15T16:00:00Z"
    ),
    "vancouver, the repeated hour": Case(SECOND, "2026-11-01T09:30:00Z", "2026-11-01T08:30:00Z"),
    "edmonton once": Case(at("2026-12-01T09:00", EDMONTON), "2026-12-01T16:00:00Z", "2026-12-01T15:00:00Z"),
    "edmonton by recipient": Case(every("0 9 2 12 *", "recipient"), "2026-12-02T16:00:00Z", "2026-12-02T15:00:00Z"),
    "casablanca once": Case(at("2026-10-01T09:00", CASABLANCA), "2026-10-01T08:00:00Z", "2026-10-01T09:00:00Z"),
    "casablanca series": Case(every("0 9 5 10 *", CASABLANCA), "2026-10-05T08:00:00Z", "2026-10-05T09:00:00Z"),
    # What no law has touched.
    "vancouver in summer": Case(at("2026-10-20T09:00", VANCOUVER), "2026-10-20T16:00:00Z", "2026-10-20T16:00:00Z"),
    "vancouver daily from now": Case(every("0 9 * * *", VANCOUVER), "2026-08-01T16:00:00Z", "2026-08-01T16:00:00Z"),
    "casablanca before": Case(at("2026-09-19T09:00", CASABLANCA), "2026-09-19T08:00:00Z", "2026-09-19T08:00:00Z"),
    "berlin": Case(at("2026-11-20T09:00", "Europe/Berlin"), "2026-11-20T08:00:00Z", "2026-11-20T08:00:00Z"),
    "an instant": Case({"kind": "at", "at": "2026-11-20T17:00:00Z"}, "2026-11-20T17:00:00Z", "2026-11-20T17:00:00Z"),
    "so many hours": Case(
        {"kind": "in", "delay": "PT3000H", "zone": VANCOUVER}, "2026-12-04T00:00:00Z", "2026-12-04T00:00:00Z"
    ),
}
#: A slot of a series that was moved by itself, to nine o'clock in Vancouver.
ALONE = Case(at("2026-11-20T09:00", VANCOUVER), "2026-11-20T17:00:00Z", "2026-11-20T16:00:00Z")
MOVING = {name for name, case in CASES.items() if case.old != case.new}


async def horae(service: Service, *arguments: str, zone_data: Path | None = None) -> tuple[int, str]:
    """A command on the service's folder, by its zone data or other ones; its exit code and everything that it says."""
    other = {} if zone_data is None else {"TIMEZONE_DATA_SOURCE": str(zone_data)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "horae.infra.cli.main", *arguments, "--data", str(service.data)),
        env=os.environ | service.environment | other,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(PATIENCE_S):
        said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def answered(service: Service, *arguments: str) -> Any:
    code, said = await horae(service, *arguments, "--json")
    assert code == 0, f"{said}\n{service.tail()}"
    return json.loads(said)


async def planned(client: httpx.AsyncClient, ids: dict[str, str]) -> dict[str, tuple[str, str]]:
    """When each is due, and by which release."""
    found: dict[str, tuple[str, str]] = {}
    for name, id_ in ids.items():
        shown = (await client.get(f"/v1/schedules/{id_}")).json()
        found[name] = shown["next"]["due_at"], shown["next"]["tzdata"]
    return found


async def made(service: Service, client: httpx.AsyncClient) -> dict[str, str]:
    """Every case as a schedule, by its name."""
    await client.put("/v1/recipients/rosa", json={"zone": EDMONTON})
    ids: dict[str, str] = {}
    for name, case in CASES.items():
        recipient = "rosa" if case.timing.get("zone") == "recipient" else "tom"
        answer = await service.create(client, timing=case.timing, recipient=recipient, metadata={"case": name})
        assert (answer["next"]["due_at"], answer["next"]["tzdata"]) == (case.old, "2025c"), name
        ids[name] = answer["id"]
    return ids


async def made_alone(service: Service, client: httpx.AsyncClient) -> str:
    """A series of which the second slot was moved."""
    id_ = (await service.create(client, timing=every("0 9 1 9-11 *", "UTC"), recipient="tom"))["id"]
    params = {"scope": "this", "slot": "2026-10-01T09:00"}
    changed = await client.patch(f"/v1/schedules/{id_}", params=params, json={"timing": ALONE.timing})
    assert changed.status_code == 200, changed.text
    assert await waits(client, id_) == ALONE.old
    return str(id_)


async def waits(client: httpx.AsyncClient, id_: str) -> str:
    (own,) = (await client.get(f"/v1/schedules/{id_}")).json()["changes"]
    return str(own["due_at"])


@pytest.mark.covers("TZ-01", "TZ-19", "TZ-29")
async def test_the_laws_of_2026_move_exactly_what_they_touch(
    make_service: MakeService, zone_releases: ZoneReleases
) -> None:
    """Planned by 2025c, brought to 2026c, taken back, and brought there again; then all of it goes out at its time."""
    service = make_service(clock=f"virtual={BEGIN}")
    service.environment["TIMEZONE_DATA_SOURCE"] = str(zone_releases.folder("2025c"))
    await service.start()
    async with service.client() as client:
        ids, alone = await made(service, client), await made_alone(service, client)
        # A command by newer data than the workers' would plan otherwise than they do.
        code, said = await horae(service, "tz", "apply", zone_data=zone_releases.folder("2026c"))
        assert (code, "The workers plan by zone data 2025c, and this command by 2026c" in said) == (1, True), said
    await service.stop()

    service.environment["TIMEZONE_DATA_SOURCE"] = str(zone_releases.folder("2026c"))
    await service.start()
    names = {id_: name for name, id_ in ids.items()} | {alone: "alone"}
    async with service.client() as client:
        before, told_of = await planned(client, ids), MOVING | {"alone"}
        assert before == {name: (case.old, "2025c") for name, case in CASES.items()}

        status = await answered(service, "tz", "status")
        assert status["tzdata"] == "2026c"
        checked, moving = len(CASES) + 1, len(MOVING) + 1  # an instant needs no zone, the series apart has two slots
        assert status["checked"] == checked
        moves = {names[move["schedule_id"]]: (move["before"], move["after"]) for move in status["moves"]}
        assert moves == {
            name: (case.old, case.new) for name, case in (CASES | {"alone": ALONE}).items() if name in told_of
        }
        (occurrence,) = {move["occurrence"] for move in status["moves"]} - {None}
        assert (await planned(client, ids), await waits(client, alone)) == (before, ALONE.old)

        code, report = await horae(service, "tz", "apply")
        assert code == 0, report
        print(report)
        assert f"{checked} slots were planned by other releases; {moving} of them moved." in report
        assert "2026-11-20 17:00:00" in report
        after = await planned(client, ids)
        assert {name: due for name, (due, _) in after.items()} == {name: case.new for name, case in CASES.items()}
        assert {name for name, (_, version) in after.items() if version == "2026c"} == MOVING
        assert await waits(client, alone) == ALONE.new

        (change,) = (await answered(service, "tz", "status"))["changes"]
        assert change["zones"] == {CASABLANCA: 2, EDMONTON: 2, VANCOUVER: 5}
        reported = await answered(service, "tz", "report", change["change"])
        assert {names[move["schedule_id"]]: move["after"] for move in reported["items"]} == {
            name: CASES[name].new for name in MOVING
        } | {"alone": ALONE.new}
        undone = await answered(service, "tz", "undo")
        assert set(undone["tenants"][0]["restored"]) == {*(ids[name] for name in MOVING), occurrence}
        assert undone["tenants"][0]["left"] == {}
        assert (await planned(client, ids), await waits(client, alone)) == (before, ALONE.old)
        (listed,) = (await answered(service, "tz", "report"))["items"]
        assert (listed["id"], listed["restored"]) == (change["change"], moving)
        history = (await client.get(f"/v1/schedules/{ids['vancouver once']}/history")).json()["items"]
        assert [entry["event"] for entry in history][-2:] == ["schedule.replanned.v1"] * 2
        again = await answered(service, "tz", "apply")
        assert {names[move["schedule_id"]] for move in again["moves"]} == told_of
        moved_on = await client.post("/v1/clock/advance", json={"to": "2026-12-05T00:00:00Z"}, timeout=300)
        assert moved_on.status_code == 200, moved_on.text
        told: dict[str, list[str]] = {}
        for release in service.releases():
            told.setdefault(names[release["schedule_id"]], []).append(release["due_at"])
        assert told.pop("alone") == ["2026-09-01T09:00:00Z", "2026-11-01T09:00:00Z", ALONE.new]
        assert {name: due[0] for name, due in told.items()} == {name: case.new for name, case in CASES.items()}
        assert {name: len(due) for name, due in told.items() if name in MOVING - {"vancouver daily"}} == dict.fromkeys(
            MOVING - {"vancouver daily"}, 1
        )
        # Whatever a series planned later, it planned by the release in use: 09:00 is 16:00 UTC all winter.
        assert {due[11:] for name in ("vancouver daily", "vancouver daily from now") for due in told[name]} == {
            "16:00:00Z"
        }


@pytest.mark.covers("TZ-01")
async def test_instants_can_be_kept_instead(make_service: MakeService, zone_releases: ZoneReleases) -> None:
    """Under `--keep instant` nothing moves, each plan says why, and what was kept is not asked about again."""
    service = make_service(clock=f"virtual={BEGIN}")
    service.environment["TIMEZONE_DATA_SOURCE"] = str(zone_releases.folder("2025c"))
    await service.start()
    async with service.client() as client:
        once, series = CASES["vancouver once"], CASES["casablanca series"]
        first = (await service.create(client, timing=once.timing))["id"]
        second = (await service.create(client, timing=series.timing))["id"]
    await service.stop()
    # While the service is away, the command starts its database.
    service.environment["TIMEZONE_DATA_SOURCE"] = str(zone_releases.folder("2026c"))
    kept = await answered(service, "tz", "apply", "--keep", "instant")
    assert {move["schedule_id"]: move["after"] for move in kept["moves"]} == {first: once.new, second: series.new}
    await service.start()
    async with service.client() as client:
        shown = (await client.get(f"/v1/schedules/{first}")).json()["next"]
        assert (shown["due_at"], shown["tzdata"]) == (once.old, "2026c")
        assert shown["reasons"][-1]["code"] == "instant_kept"
        assert (await answered(service, "tz", "status"))["moves"] == []
        moved_on = await client.post("/v1/clock/advance", json={"to": "2027-10-06T00:00:00Z"}, timeout=300)
        assert moved_on.status_code == 200, moved_on.text
    assert [release["due_at"] for release in service.releases()] == [series.old, once.old, "2027-10-05T09:00:00Z"]
