"""The crash runs' own profile."""

import pytest

from tests.e2e.profiles import Profile


@pytest.fixture(scope="module")
def profile() -> Profile:
    """Embedded only: of the stack's parts many more can die, which `tests/e2e/stack` has its own house and runs for."""
    return Profile()
