"""Times as clients write them: instants, wall-clock times and zones, read strictly and written back the same way."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from horae.domain.timing.durations import Duration

FIRST_YEAR = 1970
LAST_YEAR = 2199


class Value(BaseModel):
    """Base of all values here: immutable, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def _in_range(value: date) -> None:
    if not FIRST_YEAR <= value.year <= LAST_YEAR:
        raise ValueError(f"the year {value.year} is outside {FIRST_YEAR} to {LAST_YEAR}")


def _read_instant(value: object) -> datetime:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{value!r} is not an RFC 3339 instant such as 2026-12-01T09:00:00Z") from None
    if not isinstance(value, datetime):
        raise ValueError(f"{value!r} is not an RFC 3339 instant such as 2026-12-01T09:00:00Z")
    if value.tzinfo is None:
        raise ValueError(f"{value.isoformat()} has no offset: add Z or +02:00, or give `local` with a `zone`")
    _in_range(value)
    return value if value.tzinfo is UTC else value.astimezone(UTC)


def _read_local(value: object) -> datetime:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{value!r} is not a local time such as 2026-12-01T09:00") from None
    if not isinstance(value, datetime):
        raise ValueError(f"{value!r} is not a local time such as 2026-12-01T09:00")
    if value.tzinfo is not None:
        raise ValueError(f"{value.isoformat()} has an offset: a local time has none, its `zone` is a field of its own")
    _in_range(value)
    return value


def _read_bound(value: object) -> date | datetime:
    if isinstance(value, str) and len(value) == 10:
        try:
            value = date.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{value!r} is not a date such as 2026-12-01") from None
    if isinstance(value, date) and not isinstance(value, datetime):
        _in_range(value)
        return value
    return _read_local(value)


def _read_resolved_local(value: object) -> datetime:
    local = _read_local(value)
    return local.replace(fold=0) if local.fold else local


def _iso(value: date | datetime) -> str:
    return value.isoformat()


def _iso_utc(value: datetime) -> str:
    return value.isoformat().replace("+00:00", "Z")


def _text_schema(fmt: str | None, *examples: str) -> WithJsonSchema:
    schema: dict[str, Any] = {"type": "string", "examples": list(examples)}
    return WithJsonSchema(schema | ({"format": fmt} if fmt else {}))


_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def _clean_text(value: str) -> str:
    if _UNSTORABLE.search(value):
        raise ValueError("text must not hold U+0000 or lone surrogates")
    return value


Text = Annotated[str, AfterValidator(_clean_text)]

Instant = Annotated[
    datetime,
    BeforeValidator(_read_instant),
    PlainSerializer(_iso_utc, return_type=str, when_used="json"),
    _text_schema("date-time", "2026-12-01T09:00:00Z"),
]
"""An instant: RFC 3339 with an offset outside, aware UTC inside."""

LocalTime = Annotated[
    datetime,
    BeforeValidator(_read_resolved_local),
    PlainSerializer(_iso, return_type=str, when_used="json"),
    _text_schema(None, "2026-12-01T09:00"),
]
"""A wall-clock time without a zone, naive in code."""

LocalBound = Annotated[
    date | datetime,
    BeforeValidator(_read_bound),
    PlainSerializer(_iso, return_type=str, when_used="json"),
    _text_schema(None, "2026-12-01", "2026-12-01T09:00"),
]
"""A date or a wall-clock time without a zone."""

Zone = Annotated[Text, Field(min_length=1, max_length=64)]

ZONE_DESCRIPTION = (
    'IANA zone name, or "recipient": the zone the recipient prefers, else the tenant\'s default. '
    "Zone rules come from the IANA database whose version each plan names."
)

RESOLVED = "Set by the service when it accepts the timing; ignored in requests."

ShiftedBy = Annotated[
    Duration | None,
    Field(description="By how much it goes out after its slots, so as not to meet other schedules. " + RESOLVED),
]
"""What is added to each instant of a timing, as was decided among other schedules."""
