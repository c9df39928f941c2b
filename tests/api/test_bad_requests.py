"""Bad input gets a problem that names the field, and nothing half-done remains."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.api.world import DAILY, LOG_NOW, World, make_world
from tests.fixtures.postgres import Database

JSON = {"Content-Type": "application/json"}


def at(body: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy of `body` with another value at the path."""
    copy: dict[str, Any] = json.loads(json.dumps(body))
    *parents, last = path.split(".")
    place = copy
    for parent in parents:
        place = place[parent]
    place[last] = value
    return copy


@pytest.mark.parametrize(
    ("body", "field", "hint"),
    [
        ({}, "recipient", "user-17"),
        (at(LOG_NOW, "recipient", ""), "recipient", "user-17"),
        (at(LOG_NOW, "prioriti", 3), "prioriti", "`priority`"),
        (at(LOG_NOW, "priority", "3"), "priority", "2"),
        (at(LOG_NOW, "channel", "pigeon:home"), "channel", "webhook:https"),
        (at(LOG_NOW, "content", {"big": "x" * 66_000}), "content", ""),
        (at(LOG_NOW, "metadata", {"big": "x" * 17_000}), "metadata", ""),
        (at(LOG_NOW, "tags", ["ok", "x" * 65]), "tags[1]", ""),
        (at(LOG_NOW, "timing", {"kind": "never"}), "timing", ""),
        (at(LOG_NOW, "timing", {"kind": "at", "at": "2026-12-01T09:00"}), "timing.at", "2026-12-01T09:00:00Z"),
        (at(LOG_NOW, "timing", {"kind": "at", "at": "2026-11-01T09:00:00Z"}), "timing.at", ""),
        (at(LOG_NOW, "timing", {"kind": "in", "delay": "30 minutes"}), "timing.delay", "PT30M"),
        (at(DAILY, "timing.cron", "0 9 31 2 *"), "timing.cron", ""),
        (at(DAILY, "timing.zone", "Europe/Berln"), "timing.zone", "Europe/Berlin"),
        (at(DAILY, "timing.crom", "* * * * *"), "timing.crom", "`cron`"),
        (at(DAILY, "delivery", {"retry": {"retries": 99}}), "delivery.retry.retries", ""),
        (at(LOG_NOW, "content", {"a": {"b": "\x00"}}), "content.a.b", ""),
        (at(LOG_NOW, "content", {"n": 2**70}), "content.n", ""),
        ([], "body", ""),
        ("text", "body", ""),
    ],
)
async def test_the_wrong_field_is_named(refusing: World, body: dict[str, Any], field: str, hint: str) -> None:
    """422 with the path of the field as it stands in the request, and a hint with a right example."""
    answer = await refusing.client.post("/v1/schedules", content=json.dumps(body), headers=JSON)
    problem = answer.json()
    assert (answer.status_code, problem["field"]) == (422, field), problem
    assert hint in problem.get("hint", "")
    assert len(answer.content) < 4000


@pytest.fixture
async def refusing(world: World) -> Any:
    """A world in which nothing may be stored."""
    head = await world.services.store.head()
    yield world
    assert await world.services.store.head() == head


async def test_several_wrong_fields_are_all_named(refusing: World) -> None:
    """`errors` has one entry per field; the first is the problem's own."""
    answer = await refusing.client.post(
        "/v1/schedules", json={"recipient": "", "timing": {"kind": "now"}, "priority": 9}
    )
    assert [error["field"] for error in answer.json()["errors"]] == ["recipient", "channel", "priority"]


@pytest.mark.parametrize(
    ("raw", "headers", "status", "field"),
    [
        (b'{"recipient": ', JSON, 400, "body"),
        (b"", JSON, 422, "recipient"),
        (b'{"recipient": "\\ud800", "channel": "log:"}', JSON, 422, "body"),
        (b'{"recipient": "\\udc00x", "channel": "log:"}', JSON, 422, "body"),
        (b'{"recipient": "a\\u0000b", "channel": "log:", "timing": {"kind": "now"}}', JSON, 422, "recipient"),
        (b'{"recipient": "a", "content": {"n": NaN}}', JSON, 400, "body"),
        (b'{"recipient": "a", "content": {"n": 1e999}}', JSON, 422, "content.n"),
        (b'{"content": ' + b"[" * 5000 + b"]" * 5000 + b"}", JSON, 400, "body"),
        (b'{"content": ' + b"[" * 50 + b"]" * 50 + b"}", JSON, 422, "body"),
        (b"\xff\xfe", JSON, 400, "body"),
        (b"a=b", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "Content-Type"),
        (b"{}", {}, 415, "Content-Type"),
        (b'{"a":"' + b"x" * 1_100_000 + b'"}', JSON, 413, "body"),
        (b"{}", {**JSON, "Idempotency-Key": "x" * 256}, 422, None),
    ],
)
async def test_bodies_that_cannot_be_read(
    refusing: World, raw: bytes, headers: dict[str, str], status: int, field: str | None
) -> None:
    """Broken JSON, unstorable text, wrong types and sizes are refused at the door, never a 500."""
    answer = await refusing.client.post("/v1/schedules", content=raw, headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    if field is not None:
        assert answer.json()["field"] == field


async def test_a_long_body_is_refused_before_it_is_read(refusing: World) -> None:
    """A declared length beyond the limit is enough; of an undeclared one only the limit is read."""
    taken = 0

    async def endless() -> Any:
        nonlocal taken
        while True:
            taken += 65_536
            yield b"[" * 65_536

    answer = await refusing.client.post("/v1/schedules", content=endless(), headers=JSON)
    assert answer.status_code == 413
    assert taken <= 1_048_576 + 2 * 65_536


_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["now", "at", "every", "log:", "UTC", "recipient", "PT1S", "* * * * *", "2027-01-01T00:00:00Z"])
)
_NAMES = st.text(max_size=8) | st.sampled_from(
    [
        "recipient",
        "channel",
        "timing",
        "kind",
        "at",
        "local",
        "zone",
        "cron",
        "rrule",
        "interval",
        "unit",
        "count",
        "delay",
        "text",
        "delivery",
        "retry",
        "priority",
        "tags",
        "metadata",
        "content",
        "expires_after",
        "slot",
        "fold",
    ]
)
_VALUES = st.recursive(_LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=5))
_PATHS = ["recipient", "channel", "timing", "priority", "delivery", "tags", "metadata", "content", "expires_after"]


async def test_nothing_that_is_sent_is_a_server_error(database: Database) -> None:
    """Whatever JSON (or bytes) any operation is sent, the answer is a 2xx or a problem, never a 5xx."""
    async with make_world(database) as world:
        created = await world.create()
        paths = [
            (method.upper(), path.format_map(_Ids(created["id"])))
            for path, methods in world.app.openapi()["paths"].items()
            for method, operation in methods.items()
            if "requestBody" in operation
        ]
        loop_safe: list[tuple[str, str, bytes]] = []

        @settings(max_examples=200, database=None)
        @given(
            st.sampled_from(paths),
            _VALUES | st.builds(lambda path, value: at(dict(DAILY), path, value), st.sampled_from(_PATHS), _VALUES),
            st.binary(max_size=10),
        )
        def collect(operation: tuple[str, str], value: Any, junk: bytes) -> None:
            text = json.dumps(value, allow_nan=True).encode()
            loop_safe.append((*operation, text if len(junk) % 4 else text + junk))

        collect()
        for method, path, raw in loop_safe:
            answer = await world.client.request(method, path, content=raw, headers=JSON)
            assert answer.status_code < 500, (method, path, raw, answer.text)
            if answer.status_code >= 400:
                assert answer.json()["status"] == answer.status_code
        await world.settled()


class _Ids(dict[str, str]):
    def __init__(self, value: str) -> None:
        super().__init__()
        self._value = value

    def __missing__(self, key: str) -> str:
        return self._value


_ODD: list[str] = [
    "",
    "-1",
    "0",
    "1",
    "99999999999999999999",
    "true",
    "9999-12-31T23:59:59Z",
    "0001-01-01T00:00:00",
    "\ud7ff",
    "%00",
]
_ODD_IDS = [
    "ffffffff-ffff-8fff-bfff-ffffffffffff",
    "00000000-0000-0000-0000-000000000000",
    "x",
    "%00",
    "a%2Fb",
    "é" * 300,
]
_CURSORS = [
    base64.urlsafe_b64encode(json.dumps(cursor).encode()).decode().rstrip("=")
    for order in ("created", "due", "slot", "ended_at", "timeline_asc", "keys")
    for at in ("2027-01-01T00:00:00", "2027-01-01T00:00:00+00:00", "0001-01-01T00:00:00+00:00", "x", 7)
    for cursor in ([order, at, "00" * 16],)
]


async def test_no_query_is_a_server_error(world: World) -> None:
    """Odd ids, odd values of every documented parameter and forged cursors are answered or refused, never a 5xx."""
    created = await world.create()
    for path, methods in world.app.openapi()["paths"].items():
        if "get" not in methods or path == "/v1/events":
            continue
        for odd in _ODD_IDS if "{" in path else []:
            answer = await world.client.get(path.format_map(_Ids(odd)))
            assert answer.status_code < 500, (path, odd, answer.text)
        for parameter in methods["get"].get("parameters", []):
            if parameter["in"] != "query" or parameter["name"] == "min_position":
                continue
            for odd in _CURSORS if parameter["name"] == "cursor" else _ODD:
                params = {parameter["name"]: odd}
                answer = await world.client.get(path.format_map(_Ids(created["id"])), params=params)
                assert answer.status_code < 500, (path, params, answer.text)
