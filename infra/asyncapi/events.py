"""The public events: their topics, messages and JSON Schemas, made from the event classes."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

from horae.domain import codec
from horae.domain.envelope import Event
from horae.infra.asyncapi.parts import (
    INSTANT,
    NUMBER,
    TEXT,
    TRACEPARENT,
    UUID,
    Node,
    channel_of,
    first_line,
    headers_of,
    key_of,
    operation_of,
    ref,
)
from horae.streams.publicshape import CONTENT_TYPE, PRIVATE, SPEC_VERSION, topic_of
from horae.streams.topics import Topics

REFS = "#/components/schemas/{model}"


def public_events() -> list[type[Event]]:
    """Those that are copied for others."""
    return [event for event in codec.EVENTS if topic_of(event.name, Topics.named()) is not None]


def message_schema(event: type[Event]) -> Node:
    """The JSON Schema of the value of one public event's message, by references into the document."""
    return {
        "type": "object",
        "required": ["meta", "data"],
        "properties": {"meta": ref("schemas", "EventMeta"), "data": ref("schemas", event.__name__)},
    }


def add_public_events(channels: Node, operations: Node, messages: Node, topics: Topics) -> None:
    """The two public copies."""
    public = public_events()
    messages |= {event.__name__: _public_message(event) for event in public}
    for topic, what, name in (
        (topics.schedules, "What happens to schedules.", "publishSchedules"),
        (topics.executions, "What happens to occurrences: claimed, tried, ended.", "publishExecutions"),
    ):
        carried = [event.__name__ for event in public if topic_of(event.name, topics) == topic]
        channels[topic] = channel_of(topic, f"{what} The key is the schedule's id; in order within it.", carried)
        operations[name] = operation_of("send", topic, what)


def _public_message(event: type[Event]) -> Node:
    return {
        "name": event.name,
        "title": event.__name__,
        "summary": first_line(event),
        "contentType": CONTENT_TYPE,
        "headers": headers_of(
            {
                **cloud_event(event.name),
                "ce_subject": {**UUID, "description": "The schedule's id."},
                "position": {**NUMBER, "description": "Place in the log; later events have higher ones."},
                "tenant": TEXT,
                "shard": {**NUMBER, "description": "0 to 63; a recipient's events are all in one."},
            },
            {"traceparent": TRACEPARENT},
        ),
        "payload": message_schema(event),
        "bindings": key_of({**UUID, "description": "The schedule's id."}),
    }


def cloud_event(name: str) -> Node:
    """CloudEvents' attributes in the headers of one kind of event."""
    return {
        "ce_specversion": {"const": SPEC_VERSION},
        "ce_id": {**UUID, "description": "The event's id, the same whenever it is sent again."},
        "ce_type": {"const": name},
        "ce_source": {"type": "string", "format": "uri-reference"},
        "ce_time": INSTANT,
        "content-type": {"const": CONTENT_TYPE},
    }


def event_schemas() -> Node:
    """The data of every public event, and what they are made of, without what is private."""
    public = public_events()
    _, definitions = models_json_schema([(event, "serialization") for event in public], ref_template=REFS)
    events = _open(definitions["$defs"])
    for event in public:
        schema = events[event.__name__]
        schema["properties"] = {name: of for name, of in schema.get("properties", {}).items() if name not in PRIVATE}
        schema["required"] = [name for name in schema.get("required", []) if name not in PRIVATE]
    used: set[str] = set()
    found = {event.__name__ for event in public}
    while found:  # what only a private field named goes with it
        used |= found
        found = {name for user in found for name in _named(events[user])} - used
    return {"EventMeta": EVENT_META} | {name: schema for name, schema in sorted(events.items()) if name in used}


def _open(node: Any) -> Any:
    """Without refusals of unknown fields: readers must let new ones pass."""
    if isinstance(node, dict):
        return {
            key: _open(value) for key, value in node.items() if not (key == "additionalProperties" and value is False)
        }
    return [_open(item) for item in node] if isinstance(node, list) else node


def _named(node: Any) -> set[str]:
    """The schemas that a schema refers to."""
    if isinstance(node, dict):
        found = {node["$ref"].rpartition("/")[2]} if isinstance(node.get("$ref"), str) else set()
        return found.union(*(_named(value) for value in node.values()))
    return set().union(*(_named(item) for item in node)) if isinstance(node, list) else set()


EVENT_META: Node = {
    "type": "object",
    "description": "Who, for whom, when and where; the same for every event.",
    "required": ["event_id", "type", "tenant", "stream", "version", "position", "shard", "recorded_at", "actor"],
    "properties": {
        "event_id": UUID,
        "type": {**TEXT, "description": "The stored name, with its version."},
        "tenant": TEXT,
        "stream": {**UUID, "description": "The schedule's or the occurrence's own id."},
        "version": {"type": "integer", "minimum": 1, "description": "Counts within the stream."},
        "position": {"type": "integer", "minimum": 1, "description": "Place in the log, the cursor of the API."},
        "shard": {"type": "integer", "minimum": 0, "maximum": 63},
        "recorded_at": {**INSTANT, "description": "By the service's clock."},
        "actor": {**TEXT, "description": "Who did it: `key:ID`, `worker:INCARNATION`, ..."},
        "request_id": TEXT,
        "correlation_id": UUID,
        "causation_id": {**UUID, "description": "The event that led to this one."},
    },
}
