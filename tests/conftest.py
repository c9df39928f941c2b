"""What every test shares: the requirements ledger, and property tests that no clock can fail."""

from hypothesis import HealthCheck, settings

pytest_plugins = (
    "pytester",
    "tests.plugins.ledger",
    "tests.plugins.order",
    "tests.plugins.reports",
    "tests.fixtures.postgres",
    "tests.fixtures.zone_releases",
    "tests.fixtures.stack",
    "tests.fixtures.secured",
    "tests.fixtures.helm",
)

# A deadline is a timed assertion: on a busy machine it fails for reasons that are not in the code.
settings.register_profile("horae", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("horae")
