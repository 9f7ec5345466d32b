"""Units with rules known by construction, over real text; what can be right about labels is right or wrong here.

`rules` says what a rule is, `units` plants them, `run` collects a run of them, `subject` is the live subject,
`oracle` is an LLM that answers by rule from the text of a prompt alone.
"""
