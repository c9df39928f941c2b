"""What every request passes: keys, scopes, rates, request ids, headers."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from horae.api.services import ApiSettings
from horae.domain.key import Scope
from tests.api.world import ACME, LOG_NOW, World, make_world, new_key
from tests.fixtures.postgres import Database

SOME_ID = "01936f3e-5b70-7cc4-a8d1-5f1e3c9d2a10"


def operations(world: World) -> list[tuple[str, str]]:
    """Method and path of everything behind a key."""
    found = []
    for path, methods in world.app.openapi()["paths"].items():
        if path.startswith("/v1/"):
            filled = re.sub(r"\{\w+\}", SOME_ID, path)
            found += [(method.upper(), filled) for method in methods]
    return found


@pytest.mark.covers("SEC-02")
async def test_nothing_answers_without_a_key(world: World) -> None:
    """Every operation under /v1 is 401 without a key or with a wrong one; both headers carry a right one."""
    assert len(operations(world)) > 30
    async with world.client_for(None) as nobody, world.client_for("hk_wrong") as stranger:
        for method, path in operations(world):
            for client in (nobody, stranger):
                answer = await client.request(method, path)
                assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated"), (method, path)
        assert answer.headers["www-authenticate"].startswith("Bearer")
        for headers in ({"X-API-Key": world.key}, {"Authorization": f"bearer {world.key}"}):
            assert (await nobody.get("/v1/me", headers=headers)).json()["tenant"] == ACME


@pytest.mark.covers("SEC-02")
async def test_a_read_key_changes_nothing_and_only_admins_see_keys(world: World) -> None:
    """A read key is 403 wherever something changes, before anything else is judged; a write key is no admin."""
    reader = await new_key(world.services, ACME, Scope.READ)
    writer = await new_key(world.services, ACME, Scope.WRITE)
    async with world.client_for(reader) as client:
        for method, path in operations(world):
            if method != "GET" and path != "/v1/timings/preview":
                answer = await client.request(method, path, json={})
                assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), (method, path)
        assert (await client.get("/v1/schedules")).status_code == 200
    async with world.client_for(writer) as client:
        assert (await client.post("/v1/schedules", json=LOG_NOW)).status_code == 201
        for path in ("/v1/keys", "/v1/signing-secret"):
            assert (await client.get(path)).status_code == 403


@pytest.mark.covers("SEC-14")
async def test_keys_are_issued_rotated_and_revoked(world: World) -> None:
    """A new key works at once; its successor too, and the old one until the overlap ends; a revoked one not at all."""
    issued = (await world.client.post("/v1/keys", json={"label": "billing", "scope": "write"})).json()
    rotated = await world.client.post(f"/v1/keys/{issued['id']}/rotate", json={"overlap": "PT1H"})
    assert rotated.status_code == 201
    successor = rotated.json()
    async with world.client_for(issued["key"]) as old, world.client_for(successor["key"]) as new:
        assert (await old.get("/v1/me")).json()["scope"] == "write"
        assert (await new.get("/v1/me")).json()["key"] == successor["id"]
        world.real_clock.instant += timedelta(hours=1, seconds=1)
        expired = await old.get("/v1/me")
        assert (expired.status_code, "expired" in expired.json()["detail"]) == (401, True)
        revoked = await world.client.post(f"/v1/keys/{successor['id']}/revoke", json={"reason": "leaked"})
        assert revoked.json()["status"] == "revoked"
        assert (await new.get("/v1/me")).status_code == 401
    listed = {key["id"]: key for key in (await world.get("/v1/keys"))["items"]}
    assert listed[issued["id"]]["status"] == "expired"
    assert listed[successor["id"]]["status"] == "revoked"
    assert all("key" not in key and "sha256" not in key for key in listed.values())
    theirs = await world.other.post(f"/v1/keys/{issued['id']}/revoke")
    assert theirs.status_code == 404


async def test_a_keys_text_is_told_once(world: World) -> None:
    """A repeated issue under the same Idempotency-Key is the same key, without its text."""
    headers = {"Idempotency-Key": "k"}
    first = (await world.client.post("/v1/keys", json={"label": "a"}, headers=headers)).json()
    again = (await world.client.post("/v1/keys", json={"label": "a"}, headers=headers)).json()
    assert again["id"] == first["id"]
    assert (again["key"], again["replayed"]) == (None, True)
    secret = await world.client.get("/v1/signing-secret")
    assert secret.json()["secret"].startswith("whsec_")


@pytest.mark.covers("API-06")
async def test_requests_per_key_are_limited(database: Database) -> None:
    """Beyond its limit a key gets 429 with Retry-After and RateLimit headers; another key is not touched."""
    async with make_world(database, ApiSettings(rate_limit_requests=3, rate_limit_window_s=3600)) as world:
        answers = [await world.client.get("/v1/me") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert [answer.headers["ratelimit-remaining"] for answer in answers] == ["2", "1", "0", "0"]
        assert answers[0].headers["ratelimit-limit"] == "3"
        assert int(answers[3].headers["retry-after"]) > 0
        assert answers[3].json()["code"] == "rate_limited"
        assert (await world.other.get("/v1/me")).status_code == 200


async def test_a_request_id_goes_through(world: World) -> None:
    """A given X-Request-Id comes back, also in problems; a missing or unfit one is replaced."""
    answer = await world.client.get(f"/v1/schedules/{SOME_ID}", headers={"X-Request-Id": "abc-1"})
    assert (answer.headers["x-request-id"], answer.json()["request_id"]) == ("abc-1", "abc-1")
    unfit = await world.client.get("/v1/me", headers={"X-Request-Id": "a b\tc"})
    assert unfit.headers["x-request-id"] not in ("", "a b\tc")
    assert unfit.headers["x-content-type-options"] == "nosniff"


async def test_unknown_paths_and_methods_are_problems(world: World) -> None:
    """What the router refuses is a problem document, too."""
    absent = await world.client.get("/v1/nothing")
    method = await world.client.put("/v1/schedules")
    badly = await world.client.get("/v1/schedules/not-an-id")
    for answer, status, code in (
        (absent, 404, "not_found"),
        (method, 405, "method_not_allowed"),
        (badly, 422, "invalid"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert answer.headers["content-type"] == "application/problem+json"
    assert badly.json()["field"] == "schedule_id"
