"""Items to the service: what it refuses of one must not keep the others out."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from horae.infra.importing.calendar import read_calendar
from horae.infra.importing.sending import Report, send
from horae.infra.problems import Refused

CALENDAR = """BEGIN:VCALENDAR
BEGIN:VEVENT
UID:Jubiläum
ATTENDEE:mailto:ann@example.com
DTSTART;TZID=Europe/Berlin:20200101T090000
RRULE:FREQ=DAILY
EXDATE;TZID=Europe/Berlin:20200105T090000
END:VEVENT
BEGIN:VEVENT
UID:second
ATTENDEE:mailto:bob@example.com
DTSTART;TZID=Europe/Berlin:20300101T090000
END:VEVENT
END:VCALENDAR
"""


class Service:
    """Answers bulk requests with `error` (or creates all), and skips with `refusal`."""

    def __init__(
        self,
        refusal: dict[str, Any] | None = None,
        error: dict[str, Any] | None = None,
        settled: dict[str, Any] | None = None,
    ) -> None:
        self.refusal, self.error, self.settled, self.created = refusal, error, settled, 0

    def post(self, path: str, body: Any = None, *, headers: dict[str, str] | None = None) -> Any:
        for value in (headers or {}).values():
            assert value.isascii()
            assert len(value) <= 255
        if path.endswith("/bulk"):
            if self.error is not None:
                return {"items": [{"status": self.error["status"], "error": self.error} for _ in body]}
            self.created += len(body)
            return {"items": [{"status": 201, "id": str(uuid4()), "settled": self.settled} for _ in body]}
        if self.refusal is not None:
            raise Refused("refused", None, self.refusal)
        return {}


def imported(service: Service) -> Report:
    return send(service, read_calendar(CALENDAR, channel="log:"), lambda _done: None)


def test_an_exception_date_of_long_ago_is_no_reason_to_break_off() -> None:
    """An old calendar's EXDATEs lie behind the series: nothing of them is left to take out."""
    report = imported(Service({"code": "already_claimed", "status": 409}))
    assert (len(report.accepted), report.rejected) == (2, [])


def test_an_exception_date_that_names_no_slot_is_told_and_the_rest_goes_on() -> None:
    """The row is named with what is wrong; the events behind it are imported."""
    report = imported(Service({"code": "invalid", "status": 422}))
    assert len(report.accepted) == 2
    assert [(reject.row, reject.place) for reject in report.rejected] == [(1, "EXDATE")]


def test_a_service_in_trouble_breaks_the_import_off_instead_of_blaming_the_rows() -> None:
    """Run again it goes on; a row in the file of rejects would have been lost."""
    with pytest.raises(Refused):
        imported(Service(error={"code": "unavailable", "status": 503, "detail": "the log does not answer"}))
    with pytest.raises(Refused):
        imported(Service({"code": "unavailable", "status": 503}))


def test_a_schedule_that_ended_as_it_was_made_has_no_dates_to_leave_out() -> None:
    """Merged into another, or given way: asking to skip its slots would break the import off for ever."""
    for action in ("merged", "given_way"):
        report = imported(Service({"code": "conflict", "status": 409}, settled={"action": action}))
        assert [each.settled for each in report.accepted] == [{"action": action}] * 2


def test_what_is_refused_for_a_conflict_names_the_others() -> None:
    """By their ids, in the file of rejects."""
    error = {"code": "schedule_conflict", "status": 409, "detail": "Too close.", "conflicts": [{"schedule": "01a2"}]}
    assert [reject.reason for reject in imported(Service(error=error)).rejected] == ["Too close. It meets 01a2."] * 2
