"""Answers of others: programs and recorded data that Horae's slots are held against."""
