"""The search for patterns: from a unit's evidence to an executable explanation."""
