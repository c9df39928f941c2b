"""What tests measured, at the end of the run: `record_property("report", text)`, also from a worker process."""

from __future__ import annotations

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print each passed test's report below its name."""
    reports = [
        (report.nodeid, value)
        for report in terminalreporter.stats.get("passed", [])
        for name, value in getattr(report, "user_properties", [])
        if name == "report"
    ]
    if reports:
        terminalreporter.section("what was measured")
    for test, text in reports:
        terminalreporter.write_line(f"{test}: {text}")
