"""A process that pulls, killed with -9 in the middle of its pages: what it committed stands, and the next goes on there."""

from __future__ import annotations

from tests.integration.killing_pulls import GROWTH, kill_again_and_again


def test_a_pulling_process_killed_again_and_again_loses_nothing_and_doubles_nothing(database_url: str) -> None:
    rounds = 5
    assert kill_again_and_again(database_url, rounds) >= 2 * rounds * GROWTH * 0.8
