"""Rejects: raw rows as a person may see them, and trying one again."""
