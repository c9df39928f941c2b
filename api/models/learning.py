"""Requests and answers about engagement, best times, and the model behind them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, RootModel, StringConstraints

from horae.api.models.schedules import Request, Shown
from horae.domain.draft import RecipientId
from horae.domain.engagement import Kind
from horae.domain.timing.values import Instant

#: Reports in one request.
MOST = 10_000


class Engagement(Request):
    """Something that a recipient was seen to do."""

    id: Annotated[str, StringConstraints(min_length=1, max_length=200)] = Field(
        description="Yours: the same report again is stored once.", examples=["evt-4711"]
    )
    kind: Kind = Field(description="`active`: seen by themselves, without a message.", examples=["opened"])
    at: Instant = Field(description="When; at most 30 days ago. Any order will do.", examples=["2027-01-04T08:12:40Z"])
    occurrence_id: UUID | None = Field(
        default=None, description="The release that it is about (its `webhook-id`).",
        examples=["01936f3e-5b70-8cc4-a8d1-5f1e3c9d2a10"],
    )  # fmt: skip
    recipient: RecipientId | None = Field(
        default=None, description="Who; needed where there is no `occurrence_id`.", examples=["user-17"]
    )
    agent: Annotated[str, StringConstraints(max_length=1000)] | None = Field(
        default=None,
        description="The user agent that asked, by which known proxies are told.",
        examples=["Mozilla/5.0"],
    )
    machine: bool = Field(default=False, description="You know that it was a machine's doing.", examples=[False])


class Engagements(RootModel[list[Engagement]]):
    """Up to 10,000 reports."""


class EngagementShown(Shown):
    """What became of one report."""

    index: int
    id: str | None = None
    status: int = Field(description="201 stored, 200 known already, or what a single request would have got.")
    position: int | None = None
    machine: str | None = Field(default=None, description="Why it is taken for a machine's, and not learnt from.")
    answers: bool = Field(default=False, description="True: the first answer to its message, from which is learnt.")
    error: dict[str, Any] | None = None


class EngagementsShown(Shown):
    """What became of each report, in their order."""

    stored: int
    repeated: int
    rejected: int
    machines: int
    position: int | None = None
    items: list[EngagementShown]


class HourShown(Shown):
    """An hour of the week."""

    chance: float = Field(description="Foretold chance of an answer to a message sent in this hour.")
    low: float = Field(description="Lower end of its 95 % interval.")
    high: float


class Evidence(Shown):
    """How much is known: numbers of times, of which older ones count less (half after 30 days)."""

    asked: float = Field(description="Messages whose window has ended.")
    answered: float
    active: float = Field(description="Times seen by themselves.")


class BestMoment(Shown):
    """What would be chosen of a whole day."""

    day: str = Field(examples=["weekday"])
    at: str = Field(description="Local time.", examples=["18:40"])
    level: str = Field(description="Whose habits it rests on: recipient, segment, everybody, default, or override.")
    confidence: float
    chance: float | None = None
    why: str


class BestTimesShown(Shown):
    """When a recipient is likeliest to answer, and what that rests on."""

    recipient: str
    zone: str | None = Field(default=None, description="Of the hours; null: the recipient has none of their own.")
    segment: str | None = None
    override: str | None = Field(default=None, description="The time that was set by hand.")
    holdout: bool = Field(description="True: never optimised, so that the worth of it is known.")
    model: int = Field(description="Version; 0: none was fitted yet.")
    evidence: Evidence
    best: list[BestMoment]
    hours: dict[str, list[HourShown]] = Field(description="By weekday, 24 hours each.")
    curve: str = Field(description="Whose curve the hours show: recipient (shrunk towards segment and everybody).")


class ModelShown(Shown):
    """One version of the tenant's model."""

    version: int
    position: int
    fitted_at: datetime
    people: int
    asked: float
    answered: float
    segments: list[str]
    trust: float = Field(description="How much of what was foretold as gain has come true, 0 to 1.")
    activity_gain: float = Field(description="How much activity foretells answers; 0: nothing.")


class ModelsShown(Shown):
    """The tenant's models, newest first."""

    items: list[ModelShown]


class ModelFittedShown(Shown):
    """What a fit came to."""

    fitted: bool = Field(description="False: too little is known yet, and nothing was stored.")
    model: ModelShown | None = None


class Forgotten(Shown):
    """What was learnt of a recipient is gone."""

    recipient: str
    position: int
