"""Each `python -m benchmarks.NAME` prints one table (`--json`: its rows); exit code 1 where a goal is missed."""
