"""What a client sends to ask for a schedule or to change one, and the limits that are judged without any I/O.

Place in the flow: api -> *draft* -> commands -> `schedule`. Whatever passes here every store downstream can hold.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from pydantic import Field, StringConstraints
from pydantic_core import to_json

from horae.domain import timing as t
from horae.domain.channel import parse_channel
from horae.domain.conflicts.values import MAX_SHIFT, MAX_WINDOW, ConflictPolicy
from horae.domain.delivery import Delivery, Priority
from horae.domain.envelope import Value
from horae.domain.errors import Invalid
from horae.domain.personal import (
    CHANNEL_LIMIT,
    CONTENT_LIMIT,
    METADATA_LIMIT,
    RECIPIENT_LIMIT,
    TAGS_LIMIT,
    Personal,
    Tag,
    refuse_unstorable,
)

RecipientId = Annotated[str, StringConstraints(min_length=1, max_length=RECIPIENT_LIMIT)]
ChannelText = Annotated[str, StringConstraints(min_length=1, max_length=CHANNEL_LIMIT)]
PriorityNumber = Annotated[int, Field(ge=1, le=5, description="1 low, 2 normal, 3 high, 4 urgent, 5 critical.")]
Tags = Annotated[tuple[Tag, ...], Field(max_length=TAGS_LIMIT)]

#: The most characters of a reason.
REASON_LIMIT = 500
#: The longest `expires_after`.
MAX_EXPIRY = timedelta(days=5 * 366)


class Draft(Value):
    """A schedule as asked for, before its timing is judged against the present."""

    recipient: RecipientId
    channel: ChannelText
    content: dict[str, Any] = Field(default_factory=dict)
    timing: t.Timing
    priority: PriorityNumber = int(Priority.NORMAL)
    delivery: Delivery = Delivery()
    expires_after: t.Duration | None = None
    tags: Tags = ()
    metadata: dict[str, Any] = Field(default_factory=dict)
    conflicts: ConflictPolicy | None = None

    def personal(self) -> Personal:
        """The personal part."""
        return Personal(
            recipient=self.recipient,
            channel=self.channel,
            content=self.content,
            metadata=self.metadata,
            tags=self.tags,
        )


class Patch(Value):
    """The fields to change; what is not given stays. Given fields replace the old value as a whole."""

    channel: ChannelText | None = None
    content: dict[str, Any] | None = None
    timing: t.Timing | None = None
    priority: PriorityNumber | None = None
    delivery: Delivery | None = None
    expires_after: t.Duration | None = None
    tags: Tags | None = None
    metadata: dict[str, Any] | None = None
    conflicts: ConflictPolicy | None = None

    def changes(self) -> dict[str, Any]:
        """Field name -> new value of what was given. Raises `Invalid` for a null where none is possible."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        for name, value in given.items():
            if value is None and name not in ("expires_after", "conflicts"):
                raise Invalid(f"{name} cannot be null.", field=name, value=None, hint="Leave it out to keep it.")
        return given


class CloneOverrides(Patch):
    """What a clone has otherwise than its original; its recipient may be another one."""

    recipient: RecipientId | None = None


def check_draft(draft: Draft) -> None:
    """Refuse what cannot be stored or sent. Raises `Invalid` naming field, value and what to do."""
    check_fields({name: getattr(draft, name) for name in Draft.model_fields})


def check_fields(given: dict[str, Any]) -> None:
    """The same for some fields by name. Raises `Invalid`."""
    for name in ("recipient", "channel", "content", "metadata", "tags"):
        if given.get(name) is not None:
            refuse_unstorable(given[name], name)
    if given.get("channel") is not None:
        parse_channel(given["channel"])
    check_size(given.get("content"), "content", CONTENT_LIMIT)
    check_size(given.get("metadata"), "metadata", METADATA_LIMIT)
    if given.get("conflicts") is not None:
        check_policy(given["conflicts"])
    expires_after = given.get("expires_after")
    if expires_after is not None and not timedelta(0) < expires_after <= MAX_EXPIRY:
        raise Invalid(
            "The time to live must be more than zero and at most five years.",
            field="expires_after",
            value=t.format_duration(expires_after),
            hint="Write a duration such as PT2H.",
        )


def check_policy(policy: ConflictPolicy) -> None:
    """Refuse a window or a limit that nobody could look through. Raises `Invalid`."""
    if not timedelta(0) < policy.window <= MAX_WINDOW:
        raise Invalid(
            "The window must be more than zero and at most seven days.",
            field="conflicts.window",
            value=t.format_duration(policy.window),
            hint="Write a duration such as PT1H.",
        )
    if not timedelta(0) <= policy.max_shift <= MAX_SHIFT:
        raise Invalid(
            "The longest shift must be at most thirty days.",
            field="conflicts.max_shift",
            value=t.format_duration(policy.max_shift),
            hint="Write a duration such as P1D.",
        )


def check_size(value: object, field: str, limit: int) -> None:
    """Refuse JSON of more than `limit` bytes, written compactly in UTF-8. Raises `Invalid`."""
    if not value:
        return
    size = len(to_json(value))
    if size > limit:
        raise Invalid(
            f"{field} has {size} bytes of JSON; at most {limit} are taken.",
            field=field,
            value=f"{size} bytes",
            hint="Send a reference to what is large.",
        )


def check_reason(reason: str | None) -> None:
    """Refuse a client's reason for a command that cannot be stored or is no sentence. Raises `Invalid`."""
    refuse_unstorable(reason, "reason")
    if reason is not None and len(reason) > REASON_LIMIT:
        raise Invalid(
            f"The reason has more than {REASON_LIMIT} characters.",
            field="reason",
            value=f"{len(reason)} characters",
            hint="Say it in a sentence.",
        )
