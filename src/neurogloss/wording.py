"""Numbers as people read them, on a terminal and on a page."""

from __future__ import annotations

import math

from neurogloss.records import Interval


def number(value: float) -> str:
    """Two digits; an en dash where it is undefined."""
    return "–" if math.isnan(value) else f"{value:.2f}"


def chance(p: float) -> str:
    """A p-value: three digits, `<0.001` below; an en dash where it is undefined."""
    return "–" if math.isnan(p) else "<0.001" if p < 0.001 else f"{p:.3f}"


def interval(value: Interval) -> str:
    """`0.61 [0.52, 0.70]`; without limits where those are undefined."""
    limits = "" if math.isnan(value.low) else f" [{number(value.low)}, {number(value.high)}]"
    return number(value.value) + limits
