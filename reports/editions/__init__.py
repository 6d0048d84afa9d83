"""Editions: reports made, sealed, stored and compared."""
