"""What a log line may hold."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from horae.domain import codec
from horae.domain.envelope import NewEvent
from horae.domain.schedule import ScheduleCreated
from tests.domain.samples import GOLDENS, META, STREAM

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


@pytest.mark.covers("SEC-05")
def test_an_event_that_cannot_be_read_is_not_quoted() -> None:
    """The error of a stored event that does not fit names its field: what stood there may be about a person."""
    created = GOLDENS["schedule.created.v1"]
    assert isinstance(created, ScheduleCreated)
    name, state = codec.dump(NewEvent(STREAM, 1, META, created))
    broken = state.replace(b'"recipient":', b'"recipients":')
    with pytest.raises(ValueError, match="recipient") as caught:
        codec.load(name, broken, STREAM, 1, 1)
    assert created.personal.recipient not in str(caught.value)
    assert "input_value" not in str(caught.value)
