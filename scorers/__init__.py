"""An explanation and held-out examples in, a score beside its floor out. One scorer a module."""
