"""Questions and answers about zones and the time in them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import BeforeValidator, Field

from horae.api.models.schedules import Shown
from horae.api.reading import Many, ReadQuery
from horae.domain.timing.values import Instant
from horae.domain.timing.zonefacts import Transition


def _read_time(value: object) -> object:
    if isinstance(value, str):
        try:
            # In a query an unescaped + of an offset arrives as a space.
            return datetime.fromisoformat(value.replace(" ", "+") if "T" in value else value)
        except ValueError:
            raise ValueError(f"{value!r} is neither 2026-12-01T09:00:00Z nor 2026-12-01T09:00") from None
    return value


AnyTime = Annotated[datetime, BeforeValidator(_read_time)]


class ZoneQuery(ReadQuery):
    """Which zone, and when."""

    zone: str = Field(min_length=1, max_length=64, description="IANA name.", examples=["Europe/Berlin"])
    at: Instant | None = Field(default=None, description="At this instant; default: now.")


class TransitionsQuery(ReadQuery):
    """Which zone's clock changes."""

    zone: str = Field(min_length=1, max_length=64, description="IANA name.", examples=["Europe/Berlin"])
    year: int | None = Field(default=None, description="Of this year (of UTC); default: the present one.")


class ZonesQuery(ReadQuery):
    """Which names."""

    country: str | None = Field(default=None, max_length=8, description="Zones of this country (ISO 3166), such as DE.")


class NameQuery(ReadQuery):
    """A name to judge."""

    zone: str = Field(max_length=200, description="What may be a name.", examples=["Europe/Berln"])


class NowQuery(ReadQuery):
    """Whose clock."""

    zone: Many[str] = Field(default=(), description="IANA names; may be repeated. Default: the tenant's default zone.")
    recipient: str | None = Field(default=None, max_length=256, description="The clock of this recipient.")


class ConvertQuery(ReadQuery):
    """Which time, and where."""

    at: AnyTime = Field(
        description="An instant, or a local time of the zone `from`.",
        examples=["2026-12-01T09:00:00Z", "2026-12-01T09:00"],
    )
    from_: str | None = Field(default=None, alias="from", max_length=64, description="The zone of a local time.")
    fold: int = Field(default=0, ge=0, le=1, description="1: the second passing of a local time that comes twice.")
    to: Many[str] = Field(default=(), description="IANA names; may be repeated.")
    recipient: str | None = Field(default=None, max_length=256, description="To the zone that this recipient prefers.")


class ZoneNames(Shown):
    """Names of zones."""

    tzdata: str = Field(description="Version of the zone data.", examples=["2026f"])
    items: list[str] = Field(description="In alphabetical order.")


class Transitions(Shown):
    """A year's clock changes."""

    zone: str
    year: int
    tzdata: str = Field(description="Version of the zone data.", examples=["2026f"])
    items: list[Transition] = Field(description="In order of time; empty: the clocks stand.")


class NameJudged(Shown):
    """Is it a zone?"""

    zone: str
    valid: bool
    canonical: str | None = Field(default=None, description="Its present name.")
    hint: str | None = Field(default=None, description="The closest names.")
