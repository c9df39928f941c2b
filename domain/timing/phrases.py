"""Times told in words, read by `dateparser` in the zone and language of whoever said them.

The library is imported on first use: it is slow to load and most schedules never need it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from horae.domain import errors
from horae.domain.timing.zones import gap_at, to_local, to_utc

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_WEEKDAY = re.compile(rf"\b(?:(next|this|on|coming)\s+)?({'|'.join(_WEEKDAYS)})\b", re.IGNORECASE)
_OF = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|month|week|day|mon|tue|wed|thu|fri|sat|sun"
_ORDINAL = re.compile(
    rf"\b(?:on\s+)?the\s+(\d{{1,2}})(?:st|nd|rd|th)\b(?!\s+(?:of\s+)?(?:the\s+|this\s+|next\s+)?(?:{_OF}))",
    re.IGNORECASE,
)
_BARE_HOUR = re.compile(r"\bat\s+(\d{1,2})(?=\s*$|\s*,|\s+on\b)", re.IGNORECASE)
_HALF = re.compile(r"\b(?:[ap]\.?m\b|morning|afternoon|evening|night|noon)", re.IGNORECASE)
_NUMBERED_DATE = re.compile(r"(?<![\d/.:-])\d{1,2}(?:[/-]\d{1,2}(?:[/-]\d{2,4})?|\.\d{1,2}\.\d{2,4})(?![/.:-]?\d)")
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


def understand(text: str, locales: Sequence[str], now: datetime, zone: str) -> tuple[datetime, int, str]:
    """The local time (naive, fold) that the words mean at `now` (naive UTC) in `zone`, and the locale they are read in.

    The first of `locales` in which they say anything counts. Distances in hours and minutes are elapsed time,
    everything else is wall-clock time. Raises `errors.Invalid` for words without a time in them, for times that have
    passed, and for words that may mean several times to come: then `candidates` has these.
    """
    here, _ = to_local(now, zone)
    said = [] if text.strip().isdigit() else _first_said(text, locales, here)
    if not said:
        raise errors.Invalid(f"No time can be made out in {text!r}.", field="timing.text", value=text, hint=_EXAMPLE)
    locale, readings = said
    times = [_time_of(text, plain, locale, now, zone) for plain in readings]
    coming = list(dict.fromkeys((local, fold) for local, fold in times if to_utc(local, fold, zone) > now))
    if not coming:
        raise errors.Invalid(
            f"{text!r} was understood as {times[0][0]:%Y-%m-%d %H:%M} in {zone}, which has passed.",
            field="timing.text",
            value=text,
            hint=_EXAMPLE,
        )
    if len(coming) > 1:
        shown = [f"{local:%Y-%m-%d %H:%M}" for local, _ in sorted(coming)]
        order = (
            " A `locale` with its country (en-GB) settles the order of dates." if _NUMBERED_DATE.search(text) else ""
        )
        raise errors.Invalid(
            f"{text!r} may mean {' or '.join(shown)} in {zone}.",
            field="timing.text",
            value=text,
            hint=f'Say which, for example "{shown[0]}".{order}',
            candidates=[local.isoformat() for local, _ in sorted(coming)],
        )
    return *coming[0], locale


def readable(locale: str | None) -> str | None:
    """A person's locale as far as phrases can be read in it: `de-AT`, else `de`; None: not in that language."""
    if locale is None:
        return None
    from dateparser.data.languages_info import language_locale_dict

    language, *rest = locale.replace("_", "-").split("-")
    known = language_locale_dict.get(language.lower())
    if known is None:
        return None
    named = next((f"{language.lower()}-{part.upper()}" for part in rest if len(part) == 2), "")
    return named if named in known else language.lower()


def _first_said(text: str, locales: Sequence[str], here: datetime) -> tuple[str, list[str]] | list[str]:
    """The first locale in which the words say anything, and the ways to read them there; empty: in none."""
    for locale in locales:
        readings = [plain for plain in _readings(text, locale, here) if _parse(plain, locale, here) is not None]
        if readings:
            return locale, readings
    return []


def _readings(text: str, locale: str, here: datetime) -> list[str]:
    """The words in plain terms, once for each thing that they may mean."""
    texts = [text]
    if re.split("[-_]", locale)[0].lower() == "en":
        bare = _BARE_HOUR.search(text)
        if bare is not None and 1 <= int(bare[1]) <= 12 and not _HALF.search(text):
            hour = int(bare[1]) % 12
            texts = [f"{text[: bare.start()]}at {each}:00{text[bare.end() :]}" for each in (hour, hour + 12)]
    weekday = _WEEKDAY.search(text)
    today = weekday is not None and weekday[2].lower() == _WEEKDAYS[here.weekday()]
    if weekday is not None and today and (weekday[1] or "").lower() not in ("next", "coming"):
        # Said on that very day: it may be today, as long as the time is to come.
        texts += [f"{each[: weekday.start()]}{here:%Y-%m-%d}{each[weekday.end() :]}" for each in texts]
    plain = [_plain(each, here) for each in texts]
    if locale.lower() == "en":
        plain += [each for one in plain if (each := _other_order(one)) != one]
    return plain


def _other_order(text: str) -> str:
    """3/4/2027 as 4/3/2027, where both are dates: English is written either way."""

    def swapped(match: re.Match[str]) -> str:
        first, second, *rest = re.split("([/.-])", match[0])[::2]
        if max(int(first), int(second)) > 12:
            return match[0]
        return "/".join([second, first, *rest])

    return _NUMBERED_DATE.sub(swapped, text)


def _time_of(text: str, plain: str, locale: str, now: datetime, zone: str) -> tuple[datetime, int]:
    """One reading's local time and fold. Raises `errors.Invalid` for a number of which nothing is understood."""
    here, fold = to_local(now, zone)
    found = _parse(plain, locale, here)
    assert found is not None
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
    return local.replace(microsecond=local.microsecond // 1000 * 1000), its_fold


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
        if match[1] is None:
            return match[0]
        ahead = (_WEEKDAYS.index(match[2].lower()) - here.weekday() - 1) % 7 + 1
        return f"{here + timedelta(days=ahead):%Y-%m-%d}"

    def next_of(match: re.Match[str]) -> str:
        """`the 5th`, of this month or the first to come that has one: the library would take it for May."""
        number = int(match[1])
        days = (here + timedelta(days=n) for n in range(1, 63))
        return next((f"{day:%Y-%m-%d}" for day in days if day.day == number), match[0])

    return _ORDINAL.sub(next_of, _WEEKDAY.sub(date_of, text))


def _parse(text: str, locale: str, here: datetime) -> datetime | None:
    import dateparser

    settings: Any = {"PREFER_DATES_FROM": "future", "RELATIVE_BASE": here, "PARSERS": _PARSERS}
    language, _, region = locale.replace("_", "-").partition("-")
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
