"""The topics' document is what the code does: made from it, sound in itself, and true of real messages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator, FormatChecker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

from horae.domain import codec
from horae.domain.envelope import StoredEvent
from horae.infra.asyncapi import document, text
from horae.streams.commandshape import Done, Reply
from horae.streams.messages import EventRecord, Headers, Mark
from horae.streams.publicshape import PRIVATE, PublicCopy, facts_of, public_copy, traceparent_of
from horae.streams.topics import Topics
from tests.contracts.channel import release_to
from tests.domain.samples import GOLDENS, OTHER, STREAM

ROOT = Path(__file__).parents[2]
TOPICS = Topics.named()
DOCUMENT = document()
MESSAGES: dict[str, Any] = DOCUMENT["components"]["messages"]
BY_TYPE = {message["name"]: message for message in MESSAGES.values()}

PUBLIC = [name for name, body in GOLDENS.items() if body.name.partition(".")[0] in ("schedule", "occurrence")]


def check(schema: dict[str, Any], value: object) -> None:
    """Validate by a schema of the document, its references resolved there."""
    whole = Resource.from_contents(DOCUMENT, default_specification=DRAFT7)
    registry: Registry[Any] = Registry().with_resource("urn:doc", whole)
    rooted = json.loads(json.dumps(schema).replace('"#/', '"urn:doc#/'))
    Draft7Validator(rooted, registry=registry, format_checker=FormatChecker()).validate(value)


def check_message(message: dict[str, Any], headers: Headers, value: bytes) -> None:
    check(message["headers"], {name: text.decode() for name, text in headers})
    check(message["payload"], json.loads(value))


def stored(stem: str) -> StoredEvent:
    state = (ROOT / "tests" / "golden" / f"{stem}.json").read_bytes()
    return StoredEvent(7, STREAM, 2, 17, GOLDENS[stem].name, state)


def copied(stem: str) -> PublicCopy:
    event = stored(stem)
    facts = facts_of(event)
    assert facts is not None
    copy = public_copy(event, facts, TOPICS)
    assert copy is not None
    return copy


def everything(node: Any) -> Iterator[Any]:
    yield node
    inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for item in inner:
        yield from everything(item)


# --- the document ---


def test_the_file_is_what_the_code_says() -> None:
    """`docs/asyncapi.yaml` is made by `horae asyncapi`."""
    assert (ROOT / "docs" / "asyncapi.yaml").read_text(encoding="utf-8") == text()
    assert yaml.safe_load(text()) == document()


def test_it_is_an_asyncapi_document() -> None:
    """Everything that is pointed at is there, and every schema is one."""
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= DOCUMENT["info"].keys()
    for node in everything(DOCUMENT):
        if isinstance(node, dict) and isinstance(node.get("$ref"), str):
            found: Any = DOCUMENT
            for step in node["$ref"].removeprefix("#/").split("/"):
                found = found[step]
    for channel in DOCUMENT["channels"].values():
        assert channel["address"] == channel["bindings"]["kafka"]["topic"]
        assert channel["messages"]
    for operation in DOCUMENT["operations"].values():
        assert operation["action"] in ("send", "receive")
        assert operation["channel"].keys() == {"$ref"}
    for message in MESSAGES.values():
        Draft7Validator.check_schema(message["payload"])
        Draft7Validator.check_schema(message.get("headers", {}))
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft7Validator.check_schema(schema)


def test_every_topic_is_described() -> None:
    """And every message lies on one."""
    assert set(DOCUMENT["channels"]) == set(TOPICS.all())
    used = {ref["$ref"] for channel in DOCUMENT["channels"].values() for ref in channel["messages"].values()}
    assert used == {f"#/components/messages/{name}" for name in MESSAGES}


# --- messages ---


@pytest.mark.covers("DSP-24")
@pytest.mark.parametrize("stem", PUBLIC)
def test_a_public_copy_is_as_described(stem: str) -> None:
    """Headers and value of every event that ever was, each by the schema of its type."""
    copy = copied(stem)
    message = BY_TYPE[GOLDENS[stem].name]
    check_message(message, copy.headers, copy.value)
    carried = DOCUMENT["channels"][copy.topic]["messages"].values()
    assert any(MESSAGES[ref["$ref"].rpartition("/")[2]] is message for ref in carried)


@pytest.mark.parametrize("stem", [stem for stem in GOLDENS if stem not in PUBLIC])
def test_other_events_stay_with_us(stem: str) -> None:
    """People, keys and audits have no public copy."""
    event = stored(stem)
    facts = facts_of(event)
    assert facts is not None
    assert public_copy(event, facts, TOPICS) is None


@pytest.mark.parametrize("stem", PUBLIC)
def test_nothing_personal_leaves(stem: str) -> None:
    """Neither a private field nor anything that stood in one, and no schema that offers it."""
    copy = copied(stem)
    state = json.loads(stored(stem).state)["body"]
    private = {field: state[field] for field in PRIVATE if field in state}
    texts = {item for item in everything(private) if isinstance(item, str) and len(item) > 2}
    assert not {item for item in everything(json.loads(copy.value)) if isinstance(item, str)} & texts
    data = json.loads(copy.value)["data"]
    assert data == {field: value for field, value in state.items() if field not in PRIVATE}
    [schema] = [name for name, message in MESSAGES.items() if message["name"] == GOLDENS[stem].name]
    assert not DOCUMENT["components"]["schemas"][schema]["properties"].keys() & PRIVATE
    assert "Personal" not in DOCUMENT["components"]["schemas"]


def test_a_copy_is_a_cloud_event_under_its_schedules_key() -> None:
    """In binary mode; an occurrence's event lies with its schedule's, so that their order holds."""
    schedule, occurrence = copied("schedule.created.v1"), copied("occurrence.ended.v1")
    assert schedule.key == str(STREAM).encode()
    assert occurrence.key == dict(occurrence.headers)["ce_subject"] == _schedule_of("occurrence.ended.v1").encode()
    assert dict(schedule.headers) == {
        "ce_specversion": b"1.0",
        "ce_id": b"01932c5b-0000-7000-8000-00000000000a",
        "ce_type": b"schedule.created.v1",
        "ce_source": b"/horae/acme",
        "ce_subject": str(STREAM).encode(),
        "ce_time": b"2026-12-01T08:00:00.123000Z",
        "content-type": b"application/json",
        "position": b"7",
        "tenant": b"acme",
        "shard": b"17",
        **{name: value for name, value in schedule.headers if name == "traceparent"},
    }


def _schedule_of(stem: str) -> str:
    return str(json.loads(stored(stem).state)["body"]["schedule"])


def test_the_trace_goes_along() -> None:
    """W3C trace context of the request that led to the event."""
    event = stored("schedule.paused.v1")
    facts = facts_of(event)
    assert facts is not None
    facts["meta"]["traceparent"] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    copy = public_copy(event, facts, TOPICS)
    assert copy is not None
    assert dict(copy.headers)["traceparent"].decode() == traceparent_of(facts)


def test_an_old_event_is_copied_in_the_present_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers see one shape of a type, whenever the event was written."""
    upcast = (lambda body: {"reason": body["why"]}, "schedule.paused.v1")
    monkeypatch.setitem(codec.UPCASTERS, "schedule.paused.v0", upcast)
    state = json.loads(stored("schedule.paused.v1").state) | {"body": {"why": "holidays"}}
    old = StoredEvent(7, STREAM, 2, 17, "schedule.paused.v0", json.dumps(state).encode())
    copy = public_copy(old, state, TOPICS)
    assert copy is not None
    assert dict(copy.headers)["ce_type"] == b"schedule.paused.v1"
    assert json.loads(copy.value)["data"] == {"reason": "holidays"}


def test_our_own_records_are_as_described() -> None:
    """Events and marks on the internal log."""
    event = stored("occurrence.claimed.v1")
    record = EventRecord(7, 3, 17, STREAM, 2, event.name, event.state, "00-0-0-01")
    check_message(MESSAGES["LogRecord"], record.headers(), event.state)
    mark = Mark(7, {1: 3, 17: 7})
    check_message(MESSAGES["LogMark"], mark.headers(), mark.value())


def test_releases_and_commands_are_as_described() -> None:
    """What a receiver gets, and what a sender of commands sends and reads."""
    from horae.domain.channel import Kafka
    from horae.infra.channels.kafka import headers_of

    release = release_to(Kafka("notifications-due"))
    check_message(MESSAGES["Release"], headers_of(release), json.dumps(release.document()).encode())
    check(MESSAGES["Command"]["payload"], {"id": "a", "command": "pause", "schedule": str(STREAM)})
    reply = Reply(id="a", command="pause", status=200, done=Done(schedule=OTHER, version=2, position=9))
    check(MESSAGES["Reply"]["payload"], json.loads(reply.model_dump_json(exclude_none=True)))
