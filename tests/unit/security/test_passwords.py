"""Passwords, tokens, and the pause after repeated failures."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app.errors import Invalid
from app.security import passwords, tokens
from app.security.sessions import FREE_TRIES, LONGEST_PAUSE, Throttle

NOW = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)


def test_a_password_is_kept_as_argon2id_and_recognised() -> None:
    kept = passwords.hash_password("correct horse battery")
    assert kept.startswith("$argon2id$")
    assert passwords.verify("correct horse battery", kept)
    assert not passwords.verify("Correct horse battery", kept)


def test_the_same_password_is_kept_differently_each_time() -> None:
    assert passwords.hash_password("correct horse battery") != passwords.hash_password("correct horse battery")


def test_login_fails_without_an_account_or_with_a_broken_hash() -> None:
    assert not passwords.verify("nobody has this password", None)
    assert not passwords.verify("anything at all", "not a hash")


@pytest.mark.parametrize(
    ("password", "zh"),
    [
        ("短", "10 至 200"),
        ("123456789", "10 至 200"),
        ("x" * 201, "10 至 200"),
        ("ababababab", "4 个不同"),
        ("zhangsan1234", "用户名"),
    ],
)
def test_a_weak_password_is_refused_with_the_rule(password: str, zh: str) -> None:
    with pytest.raises(Invalid) as refused:
        passwords.check_new(password, name="zhangsan")
    assert zh in refused.value.message.zh
    assert refused.value.problems[0].pointer == "/password"


@pytest.mark.parametrize("password", ["四个字一组的口令很好记", "correct horse", "1234567890", "a zhangsan in the sky"])
def test_a_long_password_is_taken_whatever_its_letters(password: str) -> None:
    passwords.check_new(password, name="zhangsan")


def test_tokens_differ_and_only_their_digest_can_be_kept() -> None:
    made = {tokens.new_key() for _ in range(100)} | {tokens.new_session_token() for _ in range(100)}
    assert len(made) == 200
    assert all(len(token) >= 40 for token in made)
    digest = tokens.digest(next(iter(made)))
    assert len(digest) == 64
    assert int(digest, 16) > 0


def test_a_one_time_password_keeps_the_rules_of_a_password() -> None:
    for _ in range(50):
        passwords.check_new(tokens.one_time_password(), name="admin")


def test_five_failures_are_free_and_the_sixth_try_waits() -> None:
    throttle = Throttle()
    for n in range(FREE_TRIES):
        assert throttle.wait("li", NOW + timedelta(seconds=n)) == timedelta(0)
        throttle.failed("li", NOW + timedelta(seconds=n))
    last = NOW + timedelta(seconds=FREE_TRIES - 1)
    assert throttle.wait("li", last) == timedelta(seconds=30)
    assert throttle.wait("LI ", last + timedelta(seconds=29)) == timedelta(seconds=1)
    assert throttle.wait("li", last + timedelta(seconds=30)) == timedelta(0)
    assert throttle.wait("wang", last) == timedelta(0)


def test_the_login_delay_doubles_to_15_minutes_until_a_success() -> None:
    throttle = Throttle()
    for _ in range(FREE_TRIES + 1):
        throttle.failed("li", NOW)
    assert throttle.wait("li", NOW) == timedelta(seconds=60)
    for _ in range(20):
        throttle.failed("li", NOW)
    assert throttle.wait("li", NOW) == LONGEST_PAUSE
    throttle.succeeded("li")
    assert throttle.wait("li", NOW) == timedelta(0)
