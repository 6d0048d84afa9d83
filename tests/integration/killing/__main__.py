"""A series of kills, longer than the test suite has time for; several on one folder add up.

python -m tests.integration.killing FOLDER --kills 60                 on SQLite
python -m tests.integration.killing FOLDER --kills 60 --postgresql    on a PostgreSQL of its own, killed as well
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
from pathlib import Path

from tests.integration.killing.machines import Postgres
from tests.integration.killing.series import Load, Series


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run the series that the arguments ask for, and say what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.integration.killing", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the database stands, and what it was told before")
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--seed", type=int, default=None, help="of the moments and ways of the kills")
    parser.add_argument("--postgresql", action="store_true", help="on PostgreSQL (programs: DUBAN_POSTGRES_BIN)")
    parser.add_argument("--rows", type=int, default=Load().rows, help="of each file; fewer make for quicker kills")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))  # and leaves no PostgreSQL behind
    seed = random.SystemRandom().randrange(10**6) if given.seed is None else given.seed
    random.seed(seed)
    folder = given.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    postgres = Postgres(folder / "postgresql") if given.postgresql else None
    if postgres is not None:
        postgres.make()
    began = time.monotonic()
    try:
        url = postgres.url if postgres else f"sqlite:///{folder / 'duban.db'}"
        series = Series(
            folder, url, Load(rows=given.rows), postgres,
            say=lambda what: _tell(f"{time.monotonic() - began:6.1f} s  {what}"),
        )  # fmt: skip
        tickets = series.run(given.kills)
    finally:
        if postgres is not None:
            postgres.stop()
    ledger = series.ledger
    _tell(
        f"seed {seed}: {given.kills} kills in {time.monotonic() - began:.0f} s; of this database so far "
        f"{ledger.kills.total()} ({dict(ledger.kills)}), {tickets} tickets, each once and whole, of which "
        f"{len(ledger.tickets)} were pushed and {len(ledger.files)} files brought the most; {len(ledger.refused)} rows "
        f"of batches refused and kept; answers {dict(sorted(ledger.answers.items()))}"
    )


if __name__ == "__main__":
    main()
