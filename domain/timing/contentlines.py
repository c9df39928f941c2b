"""How much an iCalendar file brings, told by its lines (RFC 5545, §3.1) before a library makes objects of them.

Place in the flow: a file from outside -> `check` -> `icalendar`, for which a line of four bytes is a hundred
microseconds. Lines are unfolded first, as the library does it: `BEGIN:VTIMEZ`, fold, `ONE` is a VTIMEZONE.
"""

from __future__ import annotations

import re
from collections import Counter

from horae.domain import errors

#: Of one file. An event has seldom more than twenty lines; a zone's whole history about a hundred observances.
MOST_LINES, MOST_COMPONENTS, MOST_ATTENDEES = 50_000, 10_000, 5_000
#: VTIMEZONEs of one file: each may be compared with every zone there is.
MOST_ZONES, MOST_OBSERVANCES = 50, 1_000
#: In EXDATE, RDATE and FREEBUSY; and what RRULE and CATEGORIES list.
MOST_DATES, MOST_LISTED = 5_000, 50_000

_LIMITS = {
    "components": MOST_COMPONENTS,
    "VTIMEZONEs": MOST_ZONES,
    "STANDARD and DAYLIGHT": MOST_OBSERVANCES,
    "attendees": MOST_ATTENDEES,
    "dates": MOST_DATES,
    "values of rules and categories": MOST_LISTED,
}
_OF_COMPONENTS = {"VEVENT": "VEVENTs", "VTIMEZONE": "VTIMEZONEs"} | dict.fromkeys(
    ("STANDARD", "DAYLIGHT"), "STANDARD and DAYLIGHT"
)
_DATES, _LISTS = ("EXDATE", "RDATE", "FREEBUSY"), ("RRULE", "EXRULE", "CATEGORIES")
#: In one pass also through many empty lines, each of which might begin a fold.
_FOLD = re.compile(r"(?:(?<!\n)\r\n|(?<![\r\n])\n)(?:\r?\n)*[ \t]")
_NAME = re.compile(r"\s*([\w-]+)")


def check(text: str, *, events: int = MOST_COMPONENTS) -> None:
    """Raises `errors.Invalid` for a file of more than is taken at once; `events` of VEVENTs."""
    text = _FOLD.sub("", text)
    _check("lines", text.count("\n"), MOST_LINES)
    counts = _counted(text)
    for what, most in {"VEVENTs": events, **_LIMITS}.items():
        _check(what, counts[what], most)


def _counted(text: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    for line in text.split("\n"):
        found = _NAME.match(line)
        name = found[1].upper() if found else ""
        if name == "BEGIN":
            counts["components"] += 1
            counts[_OF_COMPONENTS.get(line.rpartition(":")[2].strip().upper(), "others")] += 1
        elif name == "ATTENDEE":
            counts["attendees"] += 1
        elif name in _DATES:
            counts["dates"] += 1 + line.count(",")
        elif name in _LISTS:
            counts["values of rules and categories"] += 1 + line.count(",") + line.count(";")
    return counts


def _check(what: str, count: int, most: int) -> None:
    if count > most:
        raise errors.Invalid(
            f"The file has {count} {what}, at most {most} are taken at once.",
            field="body",
            hint="Send it in parts.",
        )
