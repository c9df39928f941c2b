"""Adapters, settings, wiring, processes and the command line."""
