"""What other services see of an event: a CloudEvent on one of the two public topics, without anything personal.

Place in the flow: relay -> *copy* -> `notification-schedules` (events of schedules), `schedule-executions` (events of
occurrences). CloudEvents' binary mode: the attributes stand in headers, the value is JSON {"meta": ..., "data": ...}.
The key is the schedule's id in both topics, so a schedule's events, and its occurrences', each stay in order.

`recipient_ref` is all that names a person here: what has left for other services could not be erased any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json, to_json

from horae.domain import codec
from horae.domain.envelope import StoredEvent
from horae.streams.messages import Headers
from horae.streams.topics import Topics

#: Fields of an event's body that stay with us: about a person, or in a provider's own words.
PRIVATE = frozenset({"personal", "request_digest", "response", "detail", "foretold"})
SPEC_VERSION = "1.0"
CONTENT_TYPE = "application/json"


@dataclass(frozen=True, slots=True)
class PublicCopy:
    """One message for other services."""

    topic: str
    key: bytes
    headers: Headers
    value: bytes


def facts_of(stored: StoredEvent) -> dict[str, Any] | None:
    """The state as JSON, {"meta": {...}, "body": {...}}; None when it is none."""
    try:
        facts = from_json(stored.state)
    except ValueError:
        return None
    if isinstance(facts, dict) and isinstance(facts.get("meta"), dict) and isinstance(facts.get("body"), dict):
        return facts
    return None


def traceparent_of(facts: dict[str, Any] | None) -> str | None:
    """The W3C trace context that the event was recorded in."""
    found = facts["meta"].get("traceparent") if facts else None
    return found if isinstance(found, str) else None


def topic_of(name: str, topics: Topics) -> str | None:
    """Where events of this stored name are copied to; None: nowhere."""
    family, _, _ = name.partition(".")
    return {"schedule": topics.schedules, "occurrence": topics.executions}.get(family)


def public_copy(stored: StoredEvent, facts: dict[str, Any], topics: Topics) -> PublicCopy | None:
    """The copy for other services, in the present version of its shape; None: this event has none.

    Raises KeyError or ValueError for a state that has not what every event has.
    """
    name, body, meta = stored.name, facts["body"], facts["meta"]
    while name in codec.UPCASTERS:
        upcast, name = codec.UPCASTERS[name]
        body = upcast(body)
    topic = topic_of(name, topics)
    if topic is None:
        return None
    schedule = str(stored.stream) if topic == topics.schedules else str(body["schedule"])
    traceparent = traceparent_of(facts)
    said: dict[str, Any] = {
        "event_id": meta["event_id"],
        "type": name,
        "tenant": meta["tenant"],
        "stream": str(stored.stream),
        "version": stored.version,
        "position": stored.position,
        "shard": stored.shard,
        "recorded_at": meta["recorded_at"],
        "actor": meta["actor"],
    }
    for optional in ("request_id", "correlation_id", "causation_id"):
        if meta.get(optional) is not None:
            said[optional] = meta[optional]
    headers: Headers = [
        ("ce_specversion", SPEC_VERSION.encode()),
        ("ce_id", meta["event_id"].encode()),
        ("ce_type", name.encode()),
        ("ce_source", source_of(meta["tenant"]).encode()),
        ("ce_subject", schedule.encode()),
        ("ce_time", meta["recorded_at"].encode()),
        ("content-type", CONTENT_TYPE.encode()),
        ("position", str(stored.position).encode()),
        ("tenant", meta["tenant"].encode()),
        ("shard", str(stored.shard).encode()),
    ]
    if traceparent is not None:
        headers.append(("traceparent", traceparent.encode()))
    data = {field: value for field, value in body.items() if field not in PRIVATE}
    return PublicCopy(topic, schedule.encode(), headers, to_json({"meta": said, "data": data}))


def source_of(tenant: str) -> str:
    """CloudEvents' `source`: a reference relative to the installation."""
    return f"/horae/{tenant}"
