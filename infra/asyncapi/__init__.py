"""The topics as an AsyncAPI 3.0 document, made from the code that writes and reads them.

Place in the flow: `horae asyncapi` prints it, `docs/asyncapi.yaml` holds it, a test compares the two and validates real
messages against it. JSON Schemas come from the event classes; what they leave private leaves the schemas, too.
"""

from __future__ import annotations

from typing import Any

import yaml

from horae import __version__
from horae.infra.asyncapi.events import add_public_events, event_schemas
from horae.infra.asyncapi.others import add_commands, add_engagement, add_log, add_releases, other_schemas
from horae.infra.asyncapi.parts import Node
from horae.streams.publicshape import CONTENT_TYPE
from horae.streams.topics import Topics

_DESCRIPTION = """\
What Horae writes to Kafka and reads from it. Names are without the installation's prefix (`HORAE_KAFKA_TOPIC_PREFIX`).

Every topic is at least once: skip what you have seen, by `ce_id` or, within a topic's key, by `position`.
Names of event types carry their version. Within a version fields are only added: ignore what you do not know. Another
shape gets another version. An optional field that is not set is absent.
Nothing personal is in the public topics: `recipient_ref` names a recipient, the API tells who has the right to know.
"""


def text() -> str:
    """The document as YAML, as it lies in `docs/asyncapi.yaml`."""
    head = "# Made by `horae asyncapi`; a test compares the two.\n"
    body: str = yaml.dump(document(), Dumper=_Plain, sort_keys=False, allow_unicode=True, width=110)
    return head + body


def document() -> Node:
    """The whole document."""
    topics = Topics.named()
    channels: Node = {}
    operations: Node = {}
    messages: Node = {}
    for add in (add_public_events, add_commands, add_engagement, add_releases, add_log):
        add(channels, operations, messages, topics)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Horae",
            "version": __version__,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": CONTENT_TYPE,
        "servers": {"kafka": {"host": "localhost:9092", "protocol": "kafka", "description": "See KAFKA_BROKERS."}},
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": {**event_schemas(), **other_schemas()}},
    }


class _Plain(yaml.SafeDumper):
    """Writes every value out: anchors are not part of what readers of AsyncAPI expect."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the library's signature
        """Always."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Plain.add_representer(str, _text)
