"""`make demo` as a user runs it: it compares by itself, so its exit code is the verdict."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from examples import demo
from tests.e2e.profiles import Profile

pytestmark = pytest.mark.longer


@pytest.mark.e2e
@pytest.mark.timeout(600)
@pytest.mark.covers("INT-05", "SCH-06", "ACC-03")
async def test_the_demo_finds_no_difference(profile: Profile) -> None:
    """Ten thousand rows in, a month of virtual time, and every due slot released once, none besides."""
    environment = profile.environment()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(Path(demo.__file__))),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=os.environ | environment,
    )
    out, _ = await process.communicate()
    await profile.forget(environment)
    text = out.decode(errors="replace")
    assert process.returncode == 0, text
    assert "✗" not in text
    assert text.count("✓") == 8
