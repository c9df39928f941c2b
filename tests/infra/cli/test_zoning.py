"""`horae tz`: zones on the command line, without a service."""

from __future__ import annotations

import json

import pytest

from tests.infra.cli.test_commands import Horae, horae

__all__ = ["horae"]


@pytest.mark.covers("TZ-03", "TZ-11", "TZ-15")
def test_zones_are_answered_without_a_service(horae: Horae) -> None:
    """A year's clock changes, a conversion, a description and a judgement; an unknown name leaves with 1 and a hint."""
    code, out, _ = horae("tz", "transitions", "Europe/Berlin", "--year", "2027", "--json")
    assert (code, [item["kind"] for item in json.loads(out)["items"]]) == (0, ["gap", "overlap"])
    _, out, _ = horae("tz", "convert", "2027-03-28T02:30", "--from", "Europe/Berlin", "--to", "Asia/Tokyo")
    assert "gap shifted" in out
    assert "2027-03-28 10:30:00" in out
    _, out, _ = horae("tz", "info", "US/Pacific", "--at", "2026-07-01T00:00:00Z")
    assert "US/Pacific, now America/Los_Angeles" in out
    assert "2026-11-01 02:00:00 becomes 2026-11-01 01:00:00" in out
    _, out, _ = horae("tz", "list", "--country", "CH")
    assert out.split() == ["Europe/Zurich"]
    _, out, _ = horae("tz", "validate", "Asia/Calcutta")
    assert "an old name of Asia/Kolkata" in out
    code, _, err = horae("tz", "validate", "Europe/Berln")
    assert (code, "Europe/Berlin" in err) == (1, True)


def test_a_preview_on_the_built_in_calendar_needs_no_service(horae: Horae) -> None:
    """The table marks what was merged; a calendar of a tenant's own is theirs to ask for by the API."""
    timing = {"kind": "every", "cron": "0 9 * * *", "zone": "UTC", "calendar": {"skip_weekends": True}}
    _, out, _ = horae("preview", json.dumps(timing), "--after", "2026-12-04T00:00:00Z", "-n", "2")
    assert "2026-12-05 09:00 is a weekend by the calendar default" in out
    timing["calendar"] = {"id": "munich", "skip_weekends": True}
    code, _, err = horae("preview", json.dumps(timing))
    assert (code, "There is no calendar 'munich'" in err, "--url" in err) == (1, True, True)


@pytest.mark.covers("TZ-20")
def test_a_preview_goes_by_the_installations_hours(horae: Horae, monkeypatch: pytest.MonkeyPatch) -> None:
    """What calendars leave out is a setting, for the service and for the command."""
    timing = {"kind": "every", "cron": "0 */6 * * *", "zone": "UTC", "calendar": {"business_hours_only": True}}
    asked = ("preview", json.dumps(timing), "--after", "2026-12-04T07:00:00Z", "-n", "2", "--json")
    usual = [slot["due_at"] for slot in json.loads(horae(*asked)[1])["slots"]]
    assert usual == ["2026-12-04T12:00:00Z", "2026-12-07T12:00:00Z"]
    monkeypatch.setenv("BUSINESS_HOURS_DEFAULT", "17:00-19:00")
    other = [slot["due_at"] for slot in json.loads(horae(*asked)[1])["slots"]]
    assert other == ["2026-12-04T18:00:00Z", "2026-12-07T18:00:00Z"]
