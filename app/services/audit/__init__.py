"""Seals over the event log, and the walk that verifies it."""
