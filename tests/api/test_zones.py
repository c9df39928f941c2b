"""Zones over HTTP: what the clock shows where, its changes, and names old and new."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.world import DAILY, World


async def ask(world: World, what: str, **params: Any) -> dict[str, Any]:
    answer = await world.client.get(f"/v1/zones/{what}", params=params)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


@pytest.mark.covers("TZ-03", "TZ-07", "TZ-12")
async def test_a_time_is_converted(world: World) -> None:
    """An instant to several zones; a local time by its zone, moved on where a clock change skips it."""
    shown = await ask(world, "convert", at="2026-12-01T09:00:00Z", to=["Asia/Kathmandu", "America/New_York"])
    assert [(each["local"], each["offset"]) for each in shown["targets"]] == [
        ("2026-12-01T14:45:00", "+05:45"),
        ("2026-12-01T04:00:00", "-05:00"),
    ]
    lost = await ask(world, "convert", at="2027-03-28T02:30", **{"from": "Europe/Berlin", "to": "UTC"})
    assert (lost["branch"], lost["at"], lost["source"]["local"]) == (
        "gap_shifted",
        "2027-03-28T01:30:00Z",
        "2027-03-28T03:30:00",
    )
    twice = {"at": "2026-10-25T02:30", "from": "Europe/Berlin", "to": "UTC"}
    assert (await ask(world, "convert", **twice))["at"] == "2026-10-25T00:30:00Z"
    second = await ask(world, "convert", **twice, fold=1)
    assert (second["at"], second["branch"]) == ("2026-10-25T01:30:00Z", "overlap_second")


@pytest.mark.parametrize("when", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00", "1969-12-31"])
async def test_years_without_rules_are_refused(world: World, when: str) -> None:
    """The calendar's own edges, too, where arithmetic would run over."""
    params = {"at": when, "from": "Asia/Tokyo", "to": "America/New_York"}
    answer = await world.client.get("/v1/zones/convert", params=params)
    assert (answer.status_code, answer.json()["field"]) == (422, "at"), answer.text


@pytest.mark.covers("TZ-08", "TZ-23")
async def test_a_recipients_clock_is_their_zones(world: World) -> None:
    """`recipient` means what it means in timings; of whom no zone is known, the tenant's default."""
    await world.client.put("/v1/recipients/user-17", json={"zone": "Asia/Tokyo"})
    there = await ask(world, "convert", at="2026-12-01T09:00:00Z", recipient="user-17")
    assert (there["targets"][0]["zone"], there["targets"][0]["local"]) == ("Asia/Tokyo", "2026-12-01T18:00:00")
    assert (await ask(world, "now", recipient="user-17"))["targets"][0]["local"] == "2026-12-01T17:00:00"
    assert (await ask(world, "now", recipient="nobody"))["targets"][0]["zone"] == "UTC"
    now = await ask(world, "now", zone=["Europe/Berlin", "Asia/Tokyo"])
    assert [each["local"] for each in now["targets"]] == ["2026-12-01T09:00:00", "2026-12-01T17:00:00"]


@pytest.mark.covers("TZ-09", "TZ-10", "TZ-17")
async def test_a_zone_is_described(world: World) -> None:
    """Offset and daylight-saving time at an instant, the changes on either side, names and countries."""
    summer = await ask(world, "info", zone="Europe/Berlin", at="2026-07-01T00:00:00Z")
    assert (summer["offset_s"], summer["dst"], summer["abbreviation"]) == (7200, True, "CEST")
    assert (summer["previous_transition"]["at"], summer["next_transition"]["at"]) == (
        "2026-03-29T01:00:00Z",
        "2026-10-25T01:00:00Z",
    )
    winter = await ask(world, "info", zone="Europe/Berlin")
    assert (winter["offset_s"], winter["dst"]) == (3600, False)
    # Ireland's law calls the winter the exception; the clock that is ahead is the saving one all the same.
    assert (await ask(world, "info", zone="Europe/Dublin", at="2026-07-01T00:00:00Z"))["dst"] is True
    assert (await ask(world, "info", zone="Europe/Dublin"))["dst"] is False
    still = await ask(world, "info", zone="Asia/Tokyo")
    assert (still["next_transition"], still["countries"], still["aliases"]) == (None, ["AU", "JP"], ["Japan"])


@pytest.mark.covers("TZ-11", "TZ-02")
async def test_a_years_clock_changes_are_listed(world: World) -> None:
    """With the local times that they leave out or repeat; a whole day once, in Samoa; none where the clocks stand."""
    berlin = (await ask(world, "transitions", zone="Europe/Berlin", year=2027))["items"]
    assert [(each["at"], each["kind"], each["local_before"], each["local_after"]) for each in berlin] == [
        ("2027-03-28T01:00:00Z", "gap", "2027-03-28T02:00:00", "2027-03-28T03:00:00"),
        ("2027-10-31T01:00:00Z", "overlap", "2027-10-31T03:00:00", "2027-10-31T02:00:00"),
    ]
    apia = (await ask(world, "transitions", zone="Pacific/Apia", year=2011))["items"]
    assert (apia[-1]["length_s"], apia[-1]["local_after"]) == (86_400, "2011-12-31T00:00:00")
    assert (await ask(world, "transitions", zone="Asia/Tokyo"))["items"] == []
    outside = await world.client.get("/v1/zones/transitions", params={"zone": "Asia/Tokyo", "year": 1200})
    assert (outside.status_code, outside.json()["field"]) == (422, "year")


@pytest.mark.covers("TZ-15", "TZ-16", "TZ-01")
async def test_names_are_listed_and_judged(world: World) -> None:
    """Every IANA name, old ones too; a misspelt one gets the closest."""
    listed = (await world.client.get("/v1/zones")).json()
    assert {"Europe/Berlin", "US/Pacific", "Asia/Calcutta", "UTC"} <= set(listed["items"])
    assert len(listed["items"]) > 590
    swiss = (await world.client.get("/v1/zones", params={"country": "ch"})).json()
    assert swiss["items"] == ["Europe/Zurich"]
    assert await ask(world, "validate", zone="Asia/Calcutta") == {
        "zone": "Asia/Calcutta",
        "valid": True,
        "canonical": "Asia/Kolkata",
        "hint": None,
    }
    wrong = await ask(world, "validate", zone="Europe/Berln")
    assert (wrong["valid"], "Europe/Berlin" in wrong["hint"]) == (False, True)
    refused = await world.client.get("/v1/zones/convert", params={"at": "2026-12-01T09:00Z", "to": "Nowhere"})
    assert (refused.status_code, refused.json()["field"]) == (422, "to")
    unplaced = await world.client.get("/v1/zones/convert", params={"at": "2026-12-01T09:00", "to": "UTC"})
    assert (unplaced.status_code, unplaced.json()["field"]) == (422, "from")


@pytest.mark.covers("TZ-01")
async def test_an_old_name_stays_in_the_intent_and_is_replaced_in_the_plan(world: World) -> None:
    """US/Pacific is kept as it was given, and planned in America/Los_Angeles, which the plan tells."""
    created = await world.create(timing=DAILY["timing"] | {"zone": "US/Pacific"})  # type: ignore[operator]
    assert (created["timing"]["zone"], created["next"]["zone"]) == ("US/Pacific", "America/Los_Angeles")
    assert created["next"]["reasons"][0]["code"] == "zone_alias"
    # Oslo has Berlin's rules today; it is nobody's old name.
    oslo = await world.create(timing=DAILY["timing"] | {"zone": "Europe/Oslo"})  # type: ignore[operator]
    assert oslo["next"]["zone"] == "Europe/Oslo"
