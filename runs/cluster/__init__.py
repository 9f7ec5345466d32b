"""The stages of a run on the workers of a Ray cluster."""
