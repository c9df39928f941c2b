"""Specifications of the pure deciders and of time."""
