"""Secrets that are handed out once: made from the system's random source, kept as their SHA-256 alone.

A fast hash is enough here and a slow one would do harm: the secrets carry 256 random bits, so there is nothing to
guess, and a key is checked with every push.
"""

from __future__ import annotations

import hashlib
import secrets

KEY_PREFIX = "dbk_"
SESSION_PREFIX = "dbs_"
_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789"
"""Without l, o, 0 and 1, which are mistaken for each other when read from paper."""


def new_key() -> str:
    """A fresh API key, the whole bearer token."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def new_session_token() -> str:
    """A fresh session token, the whole bearer token and the value of the cookie."""
    return SESSION_PREFIX + secrets.token_urlsafe(32)


def new_csrf() -> str:
    """A fresh secret for the forms of one session."""
    return secrets.token_urlsafe(24)


def one_time_password() -> str:
    """A one-time password, to be changed at the first sign-in: four groups of four, 80 bits."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(4))


def digest(token: str) -> str:
    """What is kept of a token: 64 hexadecimal digits."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def same(given: str, kept: str) -> bool:
    """Whether two secrets are equal, in a time that does not tell where they differ."""
    return secrets.compare_digest(given.encode("utf-8", "surrogatepass"), kept.encode())
