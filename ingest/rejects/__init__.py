"""Rejects: raw rows as a reader may see them, and retries."""
