"""Working time between many pairs of moments agrees with the same asked one by one."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import numpy as np

from app.domain.time.due import elapsed
from app.models.types import to_micros
from app.schemas.calendar_document import read_calendar
from app.services.deadlines.bulk_due import working_many
from app.services.rules.china_calendar import china_spec


def test_working_time_of_many_pairs_is_that_of_each_pair() -> None:
    calendar = read_calendar(china_spec())
    dice = random.Random(7)
    first = datetime(2023, 12, 20, tzinfo=UTC)
    pairs = [
        (
            first + timedelta(seconds=dice.randrange(86_400 * 700)),
            first + timedelta(seconds=dice.randrange(86_400 * 700)),
        )
        for _ in range(2_000)
    ]
    many = working_many(calendar, [to_micros(a) for a, _ in pairs], [to_micros(b) for _, b in pairs])
    one_by_one = [elapsed(calendar, a, b).working_seconds for a, b in pairs]
    assert (many // 1_000_000).tolist() == one_by_one
    assert np.any(many < 0), "some ends are before their starts"
