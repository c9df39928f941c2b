"""A run is waited for as long as it does something."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.mutation.running import Standstill, Stuck, run


def test_a_starved_run_is_no_standstill() -> None:
    """A fiftieth of a core is progress, for hours."""
    still = Standstill(patience_s=300)
    assert not any(still.stands(float(now), now / 50) for now in range(0, 20_000, 10))


def test_no_processor_time_is_a_standstill_when_patience_ends() -> None:
    """And not before."""
    still = Standstill(patience_s=300)
    seen = [still.stands(float(now), min(now, 100) / 10) for now in range(0, 500, 10)]
    assert seen.index(True) == 40
    assert all(seen[40:])


def test_a_run_in_circles_ends_too() -> None:
    """By the processor time that it may use, whatever the clock says."""
    still = Standstill(most_s=100)
    assert not still.stands(50.0, 100.0)
    assert still.stands(51.0, 100.1)


def test_what_it_said_and_how_it_ended_is_given(tmp_path: Path) -> None:
    """As by `subprocess.run`."""
    program = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    done = run([sys.executable, "-c", program], tmp_path, os.environ, look_every_s=0.01)
    assert (done.returncode, done.stdout, done.stderr) == (3, "out\n", "err\n")


def test_who_waits_for_what_does_not_come_is_killed_and_what_it_said_is_told(tmp_path: Path) -> None:
    """It and its children, which hold its output open as long as they live."""
    waiting = f"{sys.executable} -c \"import threading; print('begun', flush=True); threading.Event().wait()\"; true"
    with pytest.raises(Stuck, match="begun"):
        run(["sh", "-c", waiting], tmp_path, os.environ, Standstill(patience_s=1.0, least_s=0.05), look_every_s=0.05)
