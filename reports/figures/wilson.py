"""Wilson's score interval: the confidence interval of a ratio of counts, valid near 0 and 1 and for few tickets.

E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927), 209–212.
"""

from __future__ import annotations

from math import sqrt

Z95 = 1.959963984540054
"""The standard normal's 97.5 % point: an interval at 95 % confidence."""


def interval(numerator: int, denominator: int, z: float = Z95) -> tuple[float, float] | None:
    """Return the bounds of the true ratio, both within 0–1; None for a zero denominator."""
    if denominator <= 0:
        return None
    ratio = numerator / denominator
    square = z * z / denominator
    middle = ratio + square / 2
    reach = z * sqrt(ratio * (1 - ratio) / denominator + square / (4 * denominator))
    return max(0.0, (middle - reach) / (1 + square)), min(1.0, (middle + reach) / (1 + square))
