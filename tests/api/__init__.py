"""Specifications of the HTTP contract."""
