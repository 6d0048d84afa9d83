"""The supervision ladder: rungs as data, and the decision which alerts to raise."""
