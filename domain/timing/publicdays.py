"""Public holidays and weekends of countries and their parts, by the `holidays` package, whose version plans name.

Pure as far as anybody can tell: the same country, year and version give the same days. The package is imported by the
first question only, because it is large and most installations never ask.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from horae.domain import errors

if TYPE_CHECKING:
    from holidays import HolidayBase


def ready() -> bool:
    """Has the package been imported?"""
    return "holidays" in sys.modules


def prepare() -> None:
    """Import it: takes a second or two."""
    import holidays  # noqa: F401


@lru_cache(maxsize=1)
def holidays_version() -> str:
    """Version of the data in use."""
    return version("holidays")


@lru_cache(maxsize=1)
def countries() -> Mapping[str, tuple[str, ...]]:
    """ISO 3166 code -> the parts that have holidays of their own."""
    import holidays

    found = holidays.list_supported_countries(include_aliases=False)
    return {code: tuple(parts) for code, parts in sorted(found.items())}


def check_country(country: str, subdivision: str | None, field: str = "country") -> None:
    """Raises `errors.Invalid` for a country or part whose holidays nobody knows."""
    known = countries()
    if country not in known:
        raise errors.Invalid(
            f"No holidays are known for the country {country!r}.",
            field=field,
            value=country,
            hint="Give a code of two letters from ISO 3166, such as DE.",
        )
    if subdivision is not None and subdivision not in known[country]:
        names = ", ".join(known[country]) or "none"
        raise errors.Invalid(
            f"{country} has no part {subdivision!r} with holidays of its own.",
            field="subdivision",
            value=subdivision,
            hint=f"Known: {names}.",
        )


@lru_cache(maxsize=512)
def public_days(country: str, subdivision: str | None, year: int) -> Mapping[date, str]:
    """The public holidays of a year by date, in order, with their names."""
    return dict(sorted(_country(country, subdivision, year).items()))


@lru_cache(maxsize=512)
def make_up_days(country: str, subdivision: str | None, year: int) -> frozenset[date]:
    """Days of the weekend on which the country works, in return for a bridge day."""
    return frozenset(_country(country, subdivision, year).weekend_workdays)


@lru_cache(maxsize=512)
def weekend_of(country: str, year: int) -> frozenset[int]:
    """The days off of a week, 0 for Monday; some countries have moved them over the years."""
    return frozenset(_country(country, None, year).weekend)


def _country(country: str, subdivision: str | None, year: int) -> HolidayBase:
    import holidays

    return holidays.country_holidays(country, subdiv=subdivision, years=year)
