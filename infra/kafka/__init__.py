"""Kafka from our side: the topics that we need, and the producer that the relay publishes with.

Place in the flow: relay -> `publisher` -> topics. aiokafka is imported here only, by the processes that need it.
"""
