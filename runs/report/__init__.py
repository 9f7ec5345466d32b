"""A page about a run: how its labels do beside their floors, what they cost, and some of them to look at."""
