"""Turns: who comes first goes first, and nobody waits for ever."""

from __future__ import annotations

import threading

import pytest

from app.turns import Turns


def test_turns_are_given_in_order_of_arrival() -> None:
    turns, order = Turns(10), []
    inside, go_on = threading.Event(), threading.Event()

    def first() -> None:
        with turns:
            inside.set()
            go_on.wait(10)
        with turns:
            order.append("first again")

    def other(name: str) -> None:
        with turns:
            order.append(name)

    threads = [threading.Thread(target=first)]
    threads[0].start()
    assert inside.wait(10)
    for n in range(3):
        threads.append(threading.Thread(target=other, args=(f"other {n}",)))
        threads[-1].start()
        while turns.waiting <= n:  # each stands in the queue before the next one comes
            pass
    go_on.set()
    for thread in threads:
        thread.join(10)
    assert order == ["other 0", "other 1", "other 2", "first again"]


def test_a_turn_that_times_out_takes_nothing_from_others() -> None:
    turns = Turns(0.01)
    with turns:
        failed: list[BaseException] = []

        def hopeless() -> None:
            try:
                with turns:
                    raise AssertionError("nobody may come in here")
            except TimeoutError as error:
                failed.append(error)

        thread = threading.Thread(target=hopeless)
        thread.start()
        thread.join(10)
        assert len(failed) == 1
        assert turns.waiting == 0
    with turns:
        pass  # free again


def test_places_and_waiting_callers_are_limited() -> None:
    turns = Turns(0.01, places=2, queue=0)
    with turns, turns, pytest.raises(TimeoutError, match="0 are waiting already"), turns:
        raise AssertionError("nobody may come in here")
    turns = Turns(0.01, places=2, queue=1)
    for _ in range(2):
        with turns, turns, pytest.raises(TimeoutError, match="no turn within"), turns:
            raise AssertionError("nobody may come in here either")


def test_a_turn_that_ends_in_an_error_is_over_all_the_same() -> None:
    turns = Turns(0.01)
    with pytest.raises(ValueError, match="x"), turns:
        raise ValueError("x")
    with turns:
        pass
