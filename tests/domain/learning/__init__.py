"""Specifications of the learner: what it counts, what it makes of it, what it chooses, and how sure it says it is."""
