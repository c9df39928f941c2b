"""Specifications of the read models."""
