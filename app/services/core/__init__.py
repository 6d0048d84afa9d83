"""Shared by all use cases: the event log, the reference data, the unit of work, and response views."""
