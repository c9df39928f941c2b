"""Feeding, dispatcher, recovery and auditor: what runs in a worker."""
