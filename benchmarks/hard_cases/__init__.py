"""Forty hard cases, put to Horae and to four peers that are really run."""
