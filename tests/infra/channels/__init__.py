"""Channels against real files and a real receiver."""
