"""Specifications of the command handlers."""
