"""Editions: sealed reports, stored and compared."""
