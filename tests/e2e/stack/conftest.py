"""Fixtures of the stack's end-to-end tests."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.e2e.stack.house import House
from tests.fixtures.stack import require_tools

MakeHouse = Callable[..., House]


@pytest.fixture
async def make_house() -> AsyncIterator[MakeHouse]:
    """Makes houses that are stopped afterwards; takes what `House` takes but its folder. `start` them."""
    require_tools()
    made: list[House] = []
    folders: list[Path] = []

    def make(**options: object) -> House:
        # As root the servers run as another user, whom pytest's own temporary folders keep out.
        folders.append(Path(tempfile.mkdtemp(prefix="horae-house-")))
        folders[-1].chmod(0o755)
        made.append(House(folders[-1], **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for house in made:
        await house.stop()
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
