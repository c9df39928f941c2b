"""Times told in words, read by `dateparser` in the zone and language of whoever said them.

The library is imported on first use: it is slow to load and most schedules never need it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from horae.domain import errors
from horae.domain.timing.zones import gap_at, to_local, to_utc

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_NEXT_WEEKDAY = re.compile(rf"\b(?:next|this|on|coming)\s+({'|'.join(_WEEKDAYS)})\b", re.IGNORECASE)
_CLOCK_WORDS = (
    (re.compile(r"\bnoon\b|\bmidday\b", re.IGNORECASE), "12:00"),
    (re.compile(r"\bmidnight\b", re.I), "00:00"),
)
_PROBE = timedelta(hours=1, minutes=37)
_EXAMPLE = 'Say it like "tomorrow at 9 AM", "in 30 minutes" or "next friday 18:00".'


def understand(text: str, locale: str, now: datetime, zone: str) -> tuple[datetime, int]:
    """The local time (naive, fold) that the words mean at `now` (naive UTC) in `zone`.

    Distances in hours and minutes are elapsed time, everything else is wall-clock time. Raises `errors.Invalid` for
    words without a time in them and for times that have passed.
    """
    here, fold = to_local(now, zone)
    plain = _plain(text, here)
    found = _parse(plain, locale, here)
    if found is None:
        raise errors.Invalid(f"No time can be made out in {text!r}.", field="timing.text", value=text, hint=_EXAMPLE)
    if found.tzinfo is not None:
        local, its_fold = to_local(found.astimezone(UTC).replace(tzinfo=None), zone)
    elsewhere = _parse(plain, locale, here + _PROBE) if found.tzinfo is None else None
    distance = found.replace(tzinfo=None) - here
    if found.tzinfo is None:
        if elsewhere == found + _PROBE and distance % timedelta(days=1) and abs(distance) < timedelta(days=31):
            local, its_fold = to_local(now + distance, zone)
        else:
            local, its_fold = found, (fold if gap_at(found, zone) < timedelta(0) and found.date() == here.date() else 0)
    local = local.replace(microsecond=local.microsecond // 1000 * 1000)
    if to_utc(local, its_fold, zone) <= now:
        raise errors.Invalid(
            f"{text!r} was understood as {local:%Y-%m-%d %H:%M} in {zone}, which has passed.",
            field="timing.text",
            value=text,
            hint=_EXAMPLE,
        )
    return local, its_fold


def _plain(text: str, here: datetime) -> str:
    """English turns that the library does not know, in terms that it does."""
    for pattern, clock in _CLOCK_WORDS:
        text = pattern.sub(clock, text)

    def date_of(match: re.Match[str]) -> str:
        ahead = (_WEEKDAYS.index(match[1].lower()) - here.weekday() - 1) % 7 + 1
        return f"{here + timedelta(days=ahead):%Y-%m-%d}"

    return _NEXT_WEEKDAY.sub(date_of, text)


def _parse(text: str, locale: str, here: datetime) -> datetime | None:
    import dateparser

    settings: Any = {"PREFER_DATES_FROM": "future", "RELATIVE_BASE": here, "PARSERS": _PARSERS}
    language, _, region = locale.partition("-")
    try:
        if region:
            found = dateparser.parse(text, locales=[f"{language.lower()}-{region.upper()}"], settings=settings)
            if found is not None:
                return found
        return dateparser.parse(text, languages=[language.lower()], settings=settings)
    except ValueError:
        if region:
            return _parse(text, language, here)
        raise errors.Invalid(
            f"{locale!r} is not a language that phrases can be read in.",
            field="timing.locale",
            value=locale,
            hint="Use a code such as en, en-GB, de or fr.",
        ) from None


_PARSERS = ["relative-time", "custom-formats", "absolute-time", "no-spaces-time"]
