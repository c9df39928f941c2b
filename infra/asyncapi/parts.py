"""What an AsyncAPI document is made of: small schemas, channels, operations, references."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

Node = dict[str, Any]

BINDING = "0.5.0"
UUID: Node = {"type": "string", "format": "uuid"}
TEXT: Node = {"type": "string"}
NUMBER: Node = {"type": "string", "pattern": "^[0-9]+$"}
INSTANT: Node = {"type": "string", "format": "date-time"}
TRACEPARENT: Node = {"type": "string", "description": "W3C trace context, where the request was traced."}


def channel_of(topic: str, description: str, messages: list[str]) -> Node:
    """A topic and the messages that lie on it."""
    return {
        "address": topic,
        "description": description,
        "messages": {name: ref("messages", name) for name in messages},
        "bindings": {"kafka": {"topic": topic, "bindingVersion": BINDING}},
    }


def operation_of(action: str, topic: str, summary: str) -> Node:
    """What we do with a topic: `send` or `receive`."""
    return {"action": action, "channel": channel_ref(topic), "summary": summary}


def headers_of(required: Node, optional: Node) -> Node:
    """The schema of a message's headers."""
    return {"type": "object", "required": list(required), "properties": {**required, **optional}}


def key_of(schema: Node) -> Node:
    """The binding that says what the key is."""
    return {"kafka": {"key": schema, "bindingVersion": BINDING}}


def ref(kind: str, name: str) -> Node:
    """A reference to a component."""
    return {"$ref": f"#/components/{kind}/{name}"}


def channel_ref(topic: str) -> Node:
    """A reference to a topic."""
    return {"$ref": f"#/channels/{topic}"}


def first_line(model: type[BaseModel]) -> str:
    """The first line of a class's docstring."""
    return (model.__doc__ or "").strip().partition("\n")[0]
