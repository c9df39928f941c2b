"""A recipient: the person's zone and locale, as far as schedules need them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import Field, StringConstraints

from horae.domain.envelope import Event, Value
from horae.domain.personal import RECIPIENT_LIMIT
from horae.domain.timing.opendays import ClockTime
from horae.domain.timing.zones import check_zone


class RecipientProfile(Value):
    """The personal part: id, zone, locale and free attributes."""

    id: Annotated[str, StringConstraints(min_length=1, max_length=RECIPIENT_LIMIT)]
    zone: str | None = None
    locale: Annotated[str, StringConstraints(pattern=r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})*$")] | None = None
    attributes: dict[str, Any] = Field(default_factory=dict)
    #: Whose habits stand in for theirs while too little is known.
    segment: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None
    #: Set by hand: messages of timing `best` go out at this time of day.
    best_time: ClockTime | None = None


class RecipientSet(Event):
    """The recipient is known from now on by this profile."""

    name: ClassVar[str] = "recipient.set.v1"
    recipient_ref: str
    personal: RecipientProfile


@dataclass(frozen=True, slots=True)
class Recipient:
    """The fold of a recipient's stream."""

    version: int
    profile: RecipientProfile


def evolve(state: Recipient | None, event: RecipientSet) -> Recipient:
    """The state after `event`."""
    return Recipient(version=(state.version if state else 0) + 1, profile=event.personal)


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """Set the whole profile."""

    recipient_ref: str
    profile: RecipientProfile


def decide(command: Put, state: Recipient | None) -> list[RecipientSet]:
    """Empty if nothing differs. Raises `Invalid` for an unknown zone."""
    if command.profile.zone is not None:
        check_zone(command.profile.zone, "zone")
    if state is not None and state.profile == command.profile:
        return []
    return [RecipientSet(recipient_ref=command.recipient_ref, personal=command.profile)]
