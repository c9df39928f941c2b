"""Specifications of feeding, dispatcher, recovery and auditor."""
