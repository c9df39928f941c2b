"""What a log line may hold."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

PROGRAM = """
import structlog
from horae.infra.logging import configure

configure("info", {form!r}, "test")
try:
    content = "a message for one person's eyes"
    raise RuntimeError("broken")
except RuntimeError:
    structlog.get_logger("x").exception("request failed", path="/v1")
"""


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.covers("SEC-05")
def test_a_traceback_never_shows_local_variables(form: str) -> None:
    """Keys and content stand in local variables all over the service; logs are read by many."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(form=form)], capture_output=True, text=True, check=True, timeout=60
    )
    assert "RuntimeError" in done.stderr
    assert "broken" in done.stderr
    assert "one person's eyes" not in done.stderr
    if form == "json":
        line = json.loads(done.stderr)
        assert (line["event"], line["process"], line["level"]) == ("request failed", "test", "error")
