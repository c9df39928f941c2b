"""The broker and the installation that the tests of Kafka have, for Faust's, too."""

from tests.infra.kafka.conftest import broker, settings, topics

__all__ = ["broker", "settings", "topics"]
