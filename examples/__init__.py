"""Example files and the demo."""
