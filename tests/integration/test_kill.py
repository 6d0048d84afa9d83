"""A real server killed with -9 under a push load: what was answered is there, once; the rest can be sent again."""

from __future__ import annotations

import signal

from tests.integration.killing import Told, check, kill_again_and_again, one_round, prepare


def test_what_was_answered_before_each_kill_is_there_once_and_the_rest_can_be_sent_again(database_url: str) -> None:
    tickets, told = kill_again_and_again(database_url, 2)
    assert told.statuses[201] >= 100, "each kill must come in the middle of a load"
    assert set(told.statuses) == {201}
    assert tickets == len(told.answered)


def test_a_server_told_to_stop_under_load_answers_whoever_it_has_taken_in(database_url: str) -> None:
    key, told = prepare(database_url), Told()
    one_round(database_url, key, "stop", told, 100, how=signal.SIGTERM)
    assert told.statuses[201] >= 100
    assert set(told.statuses) <= {201, 503}
    tickets = check(database_url, told)
    assert tickets == len(told.answered), "nothing may be stored without its answer, when there was time to give it"
