"""Some thousands of random deadlines, alone and all at once; ``python -m tests.many 1000000`` tries a million."""

from __future__ import annotations

import os
from random import Random

from tests.many import cases, disagreements

CASES = int(os.environ.get("DEADLINE_CASES", "5000"))


def test_deadlines_alone_and_in_bulk_agree_to_the_second() -> None:
    chance = Random(0)
    tried = 0
    for case in cases(2026, CASES):
        assert list(disagreements(case, chance)) == []
        tried += len(case[2])
    assert tried == CASES
