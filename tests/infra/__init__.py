"""Specifications of the adapters, on the real PostgreSQL."""
