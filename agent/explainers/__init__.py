"""What writes candidate explanations: LLMs with a prompt for each view of a unit, and what needs no LLM."""
