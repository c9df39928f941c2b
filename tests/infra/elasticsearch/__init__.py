"""Specifications of search in Elasticsearch."""
