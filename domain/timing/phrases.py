"""Times told in words, read by `dateparser` in the zone and language of whoever said them.

The library is imported on first use: it is slow to load and most schedules never need it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from horae.domain import errors
from horae.domain.timing.zones import gap_at, to_local, to_utc

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_NEXT_WEEKDAY = re.compile(rf"\b(?:next|this|on|coming)\s+({'|'.join(_WEEKDAYS)})\b", re.IGNORECASE)
_TURNS = (  # English and German turns that the library drops or does not know, in terms that it does
    (re.compile(r"\bnoon\b|\bmidday\b", re.IGNORECASE), "12:00"),
    (re.compile(r"\bmidnight\b", re.IGNORECASE), "00:00"),
    (re.compile(r"\bhalf an hour\b", re.IGNORECASE), "30 minutes"),
    (re.compile(r"\b(?:a )?quarter of an hour\b", re.IGNORECASE), "15 minutes"),
    (re.compile(r"\b(\d{1,2})[:.](\d\d)\s*(?:uhr|o'clock)\b", re.IGNORECASE), r"\1:\2"),
    (re.compile(r"\b(\d{1,2})\s*(?:uhr|o'clock)\b", re.IGNORECASE), r"\1:00"),
    (re.compile(r"\b(at|um)\s+(\d{1,2})(?=\s*$|\s*,|\s+(?:on|in the)\b)", re.IGNORECASE), r"\1 \2:00"),
)
_NUMBER = re.compile(r"\d+")
_PROBE = timedelta(hours=1, minutes=37)  # words that only tell a distance move with the present
_DAY, _MONTH = timedelta(days=1), timedelta(days=31)
_PARSERS: Final = ["relative-time", "custom-formats", "absolute-time"]  # no bare digits, no Unix times
_EXAMPLE = 'Say it like "tomorrow at 9 AM", "in 30 minutes" or "next friday 18:00".'


def understand(text: str, locale: str, now: datetime, zone: str) -> tuple[datetime, int]:
    """The local time (naive, fold) that the words mean at `now` (naive UTC) in `zone`.

    Distances in hours and minutes are elapsed time, everything else is wall-clock time. Raises `errors.Invalid` for
    words without a time in them and for times that have passed.
    """
    here, fold = to_local(now, zone)
    plain = _plain(text, here)
    found = None if text.strip().isdigit() else _parse(plain, locale, here)
    if found is None:
        raise errors.Invalid(f"No time can be made out in {text!r}.", field="timing.text", value=text, hint=_EXAMPLE)
    distance = found.replace(tzinfo=None) - here
    if left_out := _unread_number(plain, found, distance):
        raise errors.Invalid(
            f"What {left_out} means in {text!r} is not clear.", field="timing.text", value=text, hint=_EXAMPLE
        )
    if found.tzinfo is not None:
        local, its_fold = to_local(found.astimezone(UTC).replace(tzinfo=None), zone)
    elif distance % _DAY and abs(distance) < _MONTH and _parse(plain, locale, here + _PROBE) == found + _PROBE:
        local, its_fold = to_local(now + distance, zone)
    else:
        repeated_today = gap_at(found, zone) < timedelta(0) and found.date() == here.date()
        local, its_fold = found, fold if repeated_today else 0
    local = local.replace(microsecond=local.microsecond // 1000 * 1000)
    if to_utc(local, its_fold, zone) <= now:
        raise errors.Invalid(
            f"{text!r} was understood as {local:%Y-%m-%d %H:%M} in {zone}, which has passed.",
            field="timing.text",
            value=text,
            hint=_EXAMPLE,
        )
    return local, its_fold


def _unread_number(text: str, found: datetime, distance: timedelta) -> str | None:
    """A number in the words that shows neither in the time found nor in its distance: the library dropped it."""
    seconds = abs(round(distance.total_seconds()))
    months = abs((found.year * 12 + found.month) - ((found - distance).year * 12 + (found - distance).month))
    shown = {found.year, found.year % 100, found.month, found.day, found.hour, found.hour % 12 or 12, found.minute}
    shown |= {found.second, found.microsecond, seconds, seconds % 60, seconds // 60, seconds // 60 % 60}
    shown |= {seconds // 3600, seconds // 3600 % 24, seconds // 86_400, seconds // 86_400 % 7, seconds // 604_800}
    shown |= {months, months % 12, months // 12}
    return next((number for number in _NUMBER.findall(text) if int(number) not in shown), None)


def _plain(text: str, here: datetime) -> str:
    """The words in terms that the library reads rightly."""
    for pattern, plain in _TURNS:
        text = pattern.sub(plain, text)

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
