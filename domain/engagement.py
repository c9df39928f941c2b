"""Engagement: what people do with what they got, who is a machine, and when silence counts.

Tied to an occurrence it is an event of that occurrence's stream (`occurrence.answering`); of a recipient alone each is
a stream of one event, whose id is derived from the client's, so that a repeat collides with it.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from horae.domain.envelope import Event
from horae.domain.ids import derived_id


class Kind(StrEnum):
    """What was seen."""

    OPENED = "opened"
    CLICKED = "clicked"
    CONVERTED = "converted"
    DISMISSED = "dismissed"
    UNSUBSCRIBED = "unsubscribed"
    #: Seen by themselves, without a message.
    ACTIVE = "active"


#: What counts as an answer to a message.
ANSWERS = frozenset({Kind.OPENED, Kind.CLICKED, Kind.CONVERTED})
#: So long after it was sent a message may be answered; then silence counts as none.
WINDOW = timedelta(hours=24)
#: Older than this is not taken any more, nor what lies further ahead than clocks may differ.
OLDEST = timedelta(days=30)
AHEAD = timedelta(minutes=5)
#: Nobody opens a message that fast: a gateway looks for viruses. As in `learning.facts`.
MACHINE = timedelta(seconds=10)

_AGENTS = re.compile(
    r"GoogleImageProxy|YahooMailProxy|YahooCacheSystem|Barracuda|Mimecast|Proofpoint|Symantec|BitdefenderLinkScan"
    r"|SafeLinks|bot\b|crawler|spider|preview|prefetch|monitor|\bcurl/|python-requests|HeadlessChrome",
    re.IGNORECASE,
)
#: Apple's Mail Privacy Protection names itself by this and nothing else.
_MAIL_PRIVACY = "Mozilla/5.0"


def machine_of(kind: Kind, at: datetime, sent_at: datetime | None, agent: str | None, *, declared: bool) -> str | None:
    """Why it is taken for a machine's doing and left out of learning; None: it is a person's."""
    if declared:
        return "declared"
    if agent is not None and agent.strip() == _MAIL_PRIVACY:
        return "agent: mail privacy protection"
    found = _AGENTS.search(agent) if agent is not None else None
    if found is not None:
        return f"agent: {found.group()}"
    if sent_at is not None and kind in ANSWERS and at - sent_at < MACHINE:
        return f"within {MACHINE.seconds} s"
    return None


class RecipientEngaged(Event):
    """The recipient was seen, apart from any message of ours."""

    name: ClassVar[str] = "recipient.engaged.v1"
    recipient_ref: str
    kind: Kind
    at: datetime
    #: In which the learner reads `at`: the recipient's at that time.
    zone: str
    #: Why it is taken for a machine's doing; None: a person's.
    machine: str | None = None


class HabitsForgotten(Event):
    """What was learnt of the recipient is to be forgotten; nothing earlier is learnt from again."""

    name: ClassVar[str] = "recipient.habits_forgotten.v1"
    recipient_ref: str


def engagement_stream(tenant: str, engagement: str) -> UUID:
    """The stream of one engagement of a recipient alone, from the client's id of it."""
    return derived_id(tenant, "engagement", engagement)


def habits_stream(tenant: str, recipient: str) -> UUID:
    """The stream of what is asked about a recipient's habits."""
    return derived_id(tenant, "habits", recipient)
