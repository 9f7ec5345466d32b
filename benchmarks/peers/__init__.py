"""Other programs on the same inputs, each run by an interpreter that has it installed."""
