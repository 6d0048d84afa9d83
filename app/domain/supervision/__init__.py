"""The supervision ladder: rungs as data, and the decision what to raise."""
