"""Kafka from our side: topics, publisher, and the relay through a real broker."""
