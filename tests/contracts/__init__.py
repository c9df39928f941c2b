"""One suite per port, which every adapter of that port, fake or real, must pass."""

import pytest

pytest.register_assert_rewrite("tests.contracts.event_store")
