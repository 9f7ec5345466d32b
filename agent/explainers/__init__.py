"""What writes candidate explanations: an LLM, or PMI, which needs no instruction-tuned model."""
