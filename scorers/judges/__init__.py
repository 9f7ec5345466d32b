"""Who answers a scorer's questions: an LLM with a prompt, or an embedded measure that needs none."""
