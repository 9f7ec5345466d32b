"""The nodes of the graphs, one a file: small functions from state to what they add to it.

All are coroutines. LangGraph runs plain functions in threads, and the subject's hooks are not made for two.
"""
