"""The stack profile end to end: its processes one by one, over a real PostgreSQL, Kafka and Elasticsearch."""
