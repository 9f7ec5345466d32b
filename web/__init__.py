"""The HTTP service over runs, its client, and the explorer page."""
