"""Horae: an event-sourced notification scheduling service."""

from importlib.metadata import version

__version__ = version("horae")
