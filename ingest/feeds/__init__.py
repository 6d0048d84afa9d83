"""Pulled sources: pulling, reconciling, and the registry of feeds."""
