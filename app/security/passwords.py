"""Passwords: Argon2id, and the few rules a new one must keep."""

from __future__ import annotations

from functools import lru_cache
from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from app.config import get_settings
from app.errors import Invalid

SHORTEST = 10
LONGEST = 200
_AT_ONCE = BoundedSemaphore(2)
"""Each check takes tens of MiB; a flood of sign-ins must not take all memory."""


@lru_cache(maxsize=1)
def _hasher() -> PasswordHasher:
    """Argon2id as RFC 9106 and OWASP advise; ``DUBAN_PASSWORD_MEMORY_KIB`` sets the memory (tests take little)."""
    return PasswordHasher(time_cost=3, memory_cost=get_settings().password_memory_kib, parallelism=1)


@lru_cache(maxsize=1)
def _decoy() -> str:
    return _hasher().hash("nobody has this password")


def hash_password(password: str) -> str:
    """The Argon2id hash of ``password``, with its salt and parameters."""
    with _AT_ONCE:
        return _hasher().hash(password)


def verify(password: str, kept: str | None) -> bool:
    """Whether ``password`` belongs to the hash ``kept``. Takes as long for an unknown person (None) as for a wrong
    password, so that the time does not tell which names exist."""
    with _AT_ONCE:
        try:
            _hasher().verify(kept if kept is not None else _decoy(), password)
            return kept is not None
        except (VerificationError, InvalidHashError):
            return False


def check_new(password: str, *, name: str, pointer: str = "/password") -> None:
    """Whether ``password`` may be chosen by the person ``name``: 10 characters or more, not all the same, not the name.

    Length over variety, as NIST SP 800-63B has it. Raises Invalid at ``pointer``.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise Invalid.at(
            pointer, f"密码应为 {SHORTEST} 至 {LONGEST} 个字符", f"a password has {SHORTEST} to {LONGEST} characters"
        )
    if len(set(password)) < 4:
        raise Invalid.at(pointer, "密码至少包含 4 个不同的字符", "a password has at least 4 different characters")
    if name.casefold() in password.casefold() and len(password) < len(name) + 6:
        raise Invalid.at(pointer, "密码不能由用户名改写而成", "the password must not be the name with a little added")
