"""An explanation and held-out examples in, a score beside its baseline out."""
