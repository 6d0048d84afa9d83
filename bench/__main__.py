"""``python -m bench [NAME …]``: run the measurements of this folder and print one Markdown table.

A measurement is a module here with ``rows(scale)``, which runs the work and its reference alternately, takes the median
of three, and returns ``Row``s. ``--scale 1`` (default) is small; ``make bench ARGS="--scale 10"`` is ten times as much.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
from pathlib import Path

from bench.measure import Row

HERE = Path(__file__).resolve().parent
HELPERS = {"__main__", "measure"}


def names() -> list[str]:
    """Return the names of the measurements."""
    return sorted(path.stem for path in HERE.glob("*.py") if path.stem not in HELPERS and not path.stem.startswith("_"))


def table(rows: list[Row]) -> str:
    """Format the rows as a Markdown table."""
    lines = ["| work | measured | reference | ratio | first goal | goal |", "|---|---|---|---|---|---|"]
    lines += [f"| {r.work} | {r.measured} | {r.reference} | {r.ratio:.2f} | {r.first_goal} | {r.goal} |" for r in rows]
    return "\n".join(lines)


def main() -> None:
    """Parse the arguments, run, print; ``--out FILE`` writes the table."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="measurements, each beside its reference")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names())}; all if none is named")
    parser.add_argument("--scale", type=float, default=1.0, help="1 is small and takes seconds")
    parser.add_argument("--out", type=Path, help="write the table to this file")
    chosen = parser.parse_args()
    unknown = sorted(set(chosen.names) - set(names()))
    if unknown:
        parser.error(f"unknown measurement {', '.join(unknown)}; known: {', '.join(names())}")
    rows: list[Row] = []
    for name in chosen.names or names():
        print(f"{name} ...", file=sys.stderr, flush=True)
        rows += importlib.import_module(f"bench.{name}").rows(chosen.scale)
    head = f"Python {platform.python_version()}, {os.cpu_count()} cores, scale {chosen.scale:g}."
    text = f"{head}\n\n{table(rows)}\n"
    print(text, end="")
    if chosen.out is not None:
        chosen.out.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
