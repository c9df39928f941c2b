"""The other topics: our own log, commands with their replies, engagement, and releases."""

from __future__ import annotations

from pydantic.json_schema import models_json_schema

from horae.api.models.learning import Engagement
from horae.infra.asyncapi.events import REFS, cloud_event
from horae.infra.asyncapi.parts import (
    INSTANT,
    NUMBER,
    TEXT,
    TRACEPARENT,
    UUID,
    Node,
    channel_of,
    channel_ref,
    first_line,
    headers_of,
    key_of,
    operation_of,
    ref,
)
from horae.streams.commandshape import DONE_TYPE, REFUSED_TYPE, Command, Reply
from horae.streams.publicshape import CONTENT_TYPE, SPEC_VERSION
from horae.streams.topics import Topics

_BY_A_KEY: Node = headers_of(
    {},
    {
        "authorization": {**TEXT, "description": "`Bearer KEY`, or the key in `x-api-key`."},
        "x-api-key": TEXT,
        "traceparent": TRACEPARENT,
    },
)
_OF_A_DEAD_LETTER: Node = headers_of(
    {
        "dead-reason": TEXT,
        "dead-code": TEXT,
        "dead-field": TEXT,
        "dead-status": NUMBER,
        "dead-from": {**TEXT, "description": "TOPIC/PARTITION@OFFSET."},
    },
    {"dead-truncated": {**TEXT, "description": "What was too large to be kept whole, and how large it was."}},
)


def add_log(channels: Node, operations: Node, messages: Node, topics: Topics) -> None:
    """The log, for our own workers."""
    channels[topics.log] = channel_of(
        topics.log,
        "Internal: every event for our own workers, personal parts included. Give nobody else the right to read it; "
        "its shape may change with any version. The partition is the shard modulo the number of partitions.",
        ["LogRecord", "LogMark"],
    )
    operations["publishLog"] = operation_of("send", topics.log, "The relay publishes the log.")
    operations["followLog"] = operation_of("receive", topics.log, "Workers apply it.")
    messages["LogRecord"] = {
        "name": "record",
        "summary": "One stored event: its state as the log holds it.",
        "headers": headers_of(
            {
                "event": {**TEXT, "description": "The stored name."},
                "position": NUMBER,
                "previous": {**NUMBER, "description": "Position of the shard's event before this one; 0: none."},
                "shard": NUMBER,
                "stream": UUID,
                "version": NUMBER,
            },
            {"traceparent": TRACEPARENT},
        ),
        "payload": {"type": "object", "required": ["meta", "body"]},
        "bindings": key_of({**NUMBER, "description": "The shard."}),
    }
    messages["LogMark"] = {
        "name": "mark",
        "summary": "Each second on every partition: how far its shards go.",
        "headers": headers_of({"mark": {"const": "1"}}, {}),
        "payload": {
            "type": "object",
            "required": ["head", "last"],
            "properties": {
                "head": {"type": "integer", "description": "Every event of these shards up to here was sent before."},
                "last": {
                    "type": "object",
                    "description": "Shard -> position of its last event up to `head`; 0: none.",
                    "additionalProperties": {"type": "integer"},
                },
            },
        },
        "bindings": key_of({"const": "mark"}),
    }


def add_commands(channels: Node, operations: Node, messages: Node, topics: Topics) -> None:
    """Commands, replies, and what could not be carried out."""
    channels[topics.commands] = channel_of(
        topics.commands, "Commands from other services; those of one key are carried out in order.", ["Command"]
    )
    channels[topics.replies] = channel_of(
        topics.replies, "What became of each command; the key is the command's id.", ["Reply"]
    )
    channels[topics.dead] = channel_of(
        topics.dead, "Commands that could never be carried out, as they came, beside their reply.", ["DeadCommand"]
    )
    operations["carryOut"] = {
        **operation_of("receive", topics.commands, "Each as the request over HTTP that it stands for."),
        "reply": {"channel": channel_ref(topics.replies)},
    }
    operations["setAside"] = operation_of("send", topics.dead, "What is no command, or is refused for ever.")
    messages["Command"] = {
        "name": "command",
        "summary": first_line(Command),
        "headers": _BY_A_KEY,
        "payload": ref("schemas", "Command"),
    }
    messages["Reply"] = {
        "name": "reply",
        "summary": first_line(Reply),
        "headers": headers_of(
            {
                "command-id": TEXT,
                "status": {**NUMBER, "description": "The status that HTTP would have answered."},
                "in-reply-to": {**TEXT, "description": "TOPIC/PARTITION@OFFSET of the command."},
                "ce_specversion": {"const": SPEC_VERSION},
                "ce_id": {**TEXT, "description": "The command's place: one reply, however often it is sent."},
                "ce_type": {"enum": [DONE_TYPE, REFUSED_TYPE]},
                "ce_source": {"type": "string", "format": "uri-reference"},
                "content-type": {"const": CONTENT_TYPE},
            },
            {"correlation-id": {**TEXT, "description": "The command's."}, "traceparent": TRACEPARENT},
        ),
        "payload": ref("schemas", "Reply"),
        "bindings": key_of({**TEXT, "description": "The command's id."}),
    }
    messages["DeadCommand"] = {
        "name": "dead-command",
        "summary": "The bytes and headers of a command as they came, without its API key, and why it lies here.",
        "headers": _OF_A_DEAD_LETTER,
        "payload": {"description": "Whatever was sent."},
    }


def add_engagement(channels: Node, operations: Node, messages: Node, topics: Topics) -> None:
    """What recipients were seen to do, and what of it was refused."""
    channels[topics.engagement] = channel_of(
        topics.engagement, "What recipients were seen to do; in any order, late and repeated ones too.", ["Report"]
    )
    channels[topics.dead_engagement] = channel_of(
        topics.dead_engagement, "Reports that were refused, as they came.", ["DeadReport"]
    )
    operations["takeIn"] = operation_of(
        "receive", topics.engagement, "As `POST /v1/engagements` takes it; the same report again is stored once."
    )
    operations["setReportAside"] = operation_of("send", topics.dead_engagement, "What HTTP would have refused.")
    messages["Report"] = {
        "name": "engagement",
        "summary": "One report, as in the array of `POST /v1/engagements`.",
        "headers": _BY_A_KEY,
        "payload": ref("schemas", "Engagement"),
    }
    messages["DeadReport"] = {
        "name": "dead-engagement",
        "summary": "The bytes and headers of a report as they came, without its API key, and why it lies here.",
        "headers": _OF_A_DEAD_LETTER,
        "payload": {"description": "Whatever was sent."},
    }


def add_releases(channels: Node, operations: Node, messages: Node, topics: Topics) -> None:
    """What `kafka:` channels release."""
    channels[topics.due] = channel_of(
        topics.due,
        "Releases of schedules whose channel is `kafka:` and this topic; the key is the recipient.",
        ["Release"],
    )
    operations["release"] = operation_of("send", topics.due, "A notification whose time has come.")
    messages["Release"] = {
        "name": "notification.due",
        "summary": "One attempt of one occurrence. It holds what the schedule holds, personal parts included.",
        "headers": headers_of(
            {
                "occurrence-id": {**UUID, "description": "The same for every attempt: skip what you have sent."},
                "schedule-id": UUID,
                "tenant": TEXT,
                "attempt": NUMBER,
                "due-at": INSTANT,
                **cloud_event("horae.notification.due.v1"),
                "ce_id": {**UUID, "description": "The occurrence's id: every attempt is the same CloudEvent."},
            },
            {"traceparent": TRACEPARENT},
        ),
        "payload": ref("schemas", "ReleaseDocument"),
        "bindings": key_of({**TEXT, "description": "The recipient."}),
    }


def other_schemas() -> Node:
    """Commands, replies, reports of engagement, releases."""
    _, inputs = models_json_schema(
        [(Command, "validation"), (Reply, "serialization"), (Engagement, "validation")], ref_template=REFS
    )
    return {**inputs["$defs"], "ReleaseDocument": RELEASE}


RELEASE: Node = {
    "type": "object",
    "required": [
        "occurrence_id",
        "schedule_id",
        "recipient",
        "slot",
        "fold",
        "due_at",
        "released_at",
        "attempt",
        "content",
        "metadata",
        "tags",
    ],
    "properties": {
        "occurrence_id": UUID,
        "schedule_id": UUID,
        "recipient": TEXT,
        "slot": {**TEXT, "description": "The intended local time, without an offset."},
        "fold": {"enum": [0, 1], "description": "1: the second of two equal local times."},
        "due_at": INSTANT,
        "released_at": INSTANT,
        "attempt": {"type": "integer", "minimum": 1},
        "content": {"type": "object"},
        "metadata": {"type": "object"},
        "tags": {"type": "array", "items": TEXT},
    },
}
