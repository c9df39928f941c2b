"""The personal part of an event: everything about a person, in one nested field.

Outside of it only `recipient_ref`, a tenant-keyed HMAC, points at the person, so that encrypting
this one field per recipient makes the whole history forgettable.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

from pydantic import Field, StringConstraints, field_validator

from horae.domain.envelope import Value
from horae.domain.errors import Invalid

CONTENT_LIMIT = 64 * 1024
METADATA_LIMIT = 16 * 1024
TAG_LIMIT = 64
TAGS_LIMIT = 32
RECIPIENT_LIMIT = 256
CHANNEL_LIMIT = 2048
#: How deep free JSON may be nested; parsers and stores downstream recurse.
DEPTH_LIMIT = 64

#: One search of the whole text in C: a look at each character here would take milliseconds for a large body.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

Tag = Annotated[str, StringConstraints(min_length=1, max_length=TAG_LIMIT)]


class Personal(Value):
    """Recipient, channel address, content, metadata and tags of a schedule."""

    recipient: Annotated[str, StringConstraints(min_length=1, max_length=RECIPIENT_LIMIT)]
    #: "webhook:URL" or "log:".
    channel: Annotated[str, StringConstraints(min_length=1, max_length=CHANNEL_LIMIT)]
    content: dict[str, Any] = Field(default_factory=dict)
    metadata: dict[str, Any] = Field(default_factory=dict)
    tags: tuple[Tag, ...] = ()

    @field_validator("tags")
    @classmethod
    def _each_tag_once(cls, tags: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(tags))


def refuse_unstorable(value: object, field: str) -> None:
    """Refuse what some store downstream cannot hold (U+0000, lone surrogates, NaN, endless nesting) at the door.

    Whatever the API accepts every projection must apply: PostgreSQL's jsonb has no U+0000, UTF-8 no surrogates.
    Raises `Invalid` naming the innermost field.
    """
    # Nearly everything can be stored, and only what cannot needs its path.
    if not _storable(value, DEPTH_LIMIT):
        _refuse(value, field, 0)


def _storable(value: Any, levels: int) -> bool:
    """Whether `_refuse` would let it pass; of other types than JSON's own False, which means: look closely."""
    kind = type(value)
    if levels < 0:
        return False
    if kind is str:
        return _UNSTORABLE.search(value) is None
    if kind is dict:
        for key, item in value.items():  # noqa: SIM110  a generator costs more than the search
            if not (_storable(key, levels - 1) and _storable(item, levels - 1)):
                return False
        return True
    if kind is list or kind is tuple:
        for item in value:  # noqa: SIM110
            if not _storable(item, levels - 1):
                return False
        return True
    if kind is int:
        return bool(-(2**63) <= value < 2**63)
    return value is None or kind is bool or (kind is float and math.isfinite(value))


def _refuse(value: object, field: str, depth: int) -> None:
    if depth > DEPTH_LIMIT:
        raise Invalid(
            f"The JSON is nested more than {DEPTH_LIMIT} deep.", field=field[:80], hint="Send it flatter, or as text."
        )
    match value:
        case str():
            bad = _UNSTORABLE.search(value)
            if bad is not None:
                raise Invalid(
                    f"The text contains U+{ord(bad.group()):04X}, which cannot be stored.",
                    field=field,
                    value=ascii(value)[:80],
                    hint="Remove that character.",
                )
        case dict():
            for key, item in value.items():
                _refuse(key, field, depth + 1)
                _refuse(item, f"{field}.{key}" if isinstance(key, str) and key.isprintable() else field, depth + 1)
        case list() | tuple():
            for index, item in enumerate(value):
                _refuse(item, f"{field}[{index}]", depth + 1)
        case bool() | None:
            return
        case float() if not math.isfinite(value):
            raise Invalid("The number is not finite.", field=field, value=str(value), hint="Send null or a string.")
        case int() if not -(2**63) <= value < 2**63:
            raise Invalid(
                "The number has more than 64 bits.", field=field, value=str(value)[:80], hint="Send a string."
            )
        case _:
            return
