"""An HTML report on a run: scores next to their floors, cost, and sample units."""
