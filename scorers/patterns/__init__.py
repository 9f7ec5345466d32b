"""Patterns: executable explanations of what a unit responds to in text."""
