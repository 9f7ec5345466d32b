"""What a user does with a run folder: collect, label, score, compare, exchange, report."""
