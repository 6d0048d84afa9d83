"""Fail when fewer branches than the gate were taken: of app/domain, and of the rest.

    python .ci/coverage_gate.py coverage.json

Child processes are not measured, nor what only PostgreSQL or a browser reaches: the gates are what SQLite reaches.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

DOMAIN = "app/domain/"
GATES = {"app/domain": 96.0, "the rest": 85.0}
"""Percent of branches that must be taken."""


def main(report: Path) -> int:
    """Print both figures beside their gates; 1 where one is below, else 0."""
    branches = {name: [0, 0] for name in GATES}
    for path, found in json.loads(report.read_text("utf-8"))["files"].items():
        sums = branches["app/domain" if path.startswith(DOMAIN) else "the rest"]
        sums[0] += found["summary"]["covered_branches"]
        sums[1] += found["summary"]["num_branches"]
    percent = {name: 100 * taken / max(there, 1) for name, (taken, there) in branches.items()}
    for name, gate in GATES.items():
        sys.stdout.write(f"{name}: {percent[name]:.1f} % of {branches[name][1]} branches (gate {gate:.0f} %)\n")
    return int(any(percent[name] < gate for name, gate in GATES.items()))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
