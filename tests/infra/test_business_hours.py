"""What calendars leave out is the installation's: its hours of business, its weekend, its country's holidays."""

from __future__ import annotations

from datetime import date, datetime

import pytest

from horae.domain.timing.opendays import Calendar, CalendarDefinition, Hours, Standard, built_in
from horae.infra.setting_sources import SettingsError
from horae.infra.settings import load

LATE = Standard((Hours(start="10:00", end="18:00"),), frozenset())


@pytest.mark.covers("TZ-20", "CFG-14", "CFG-15")
def test_what_a_calendar_leaves_out_is_the_standard() -> None:
    """Its hours and its weekend; what it names itself stays, and plans tell that they go by another standard."""
    saturday = datetime(2026, 12, 5, 9, 30)  # noqa: DTZ001 - local times are naive
    assert built_in(LATE).next_open(saturday) == saturday.replace(hour=10, minute=0)
    assert built_in().next_open(saturday) == datetime(2026, 12, 7, 9)  # noqa: DTZ001
    own = Calendar("own", 1, CalendarDefinition(weekend=("sat",)), standard=LATE)
    assert own.next_open(saturday) == datetime(2026, 12, 6, 10)  # noqa: DTZ001
    assert (built_in().label, built_in(LATE).label) == ("default@0", "default@0 10:00-18:00 weekend:none")


@pytest.mark.covers("CFG-16", "RUL-12")
def test_the_built_in_calendar_has_its_countrys_holidays_unless_business_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Epiphany is one in Bavaria, and none where the settings say that holidays are worked."""
    epiphany = date(2027, 1, 6)
    monkeypatch.setenv("HORAE_HOLIDAY_COUNTRY", "DE-BY")
    assert built_in(load().settings.standard).holiday(epiphany) is not None
    monkeypatch.setenv("HORAE_BUSINESS_ON_HOLIDAYS", "true")
    assert built_in(load().settings.standard).holiday(epiphany) is None


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("BUSINESS_HOURS_DEFAULT", "9-17", "09:00-17:00"),
        ("BUSINESS_HOURS_DEFAULT", "17:00-09:00", "in order"),
        ("BUSINESS_HOURS_DEFAULT", ",", "without hours"),
        ("HORAE_HOLIDAY_COUNTRY", "XX", "No holidays are known"),
        ("HORAE_HOLIDAY_COUNTRY", "DE-XX", "Known: BB"),
    ],
)
def test_hours_and_countries_that_cannot_be_are_refused(
    name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the start, with the setting's name and a right example."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=said):
        load()
