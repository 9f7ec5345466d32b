"""Labelling as a step of somebody else's pipeline: LangChain, LangGraph, datasets, pandas."""
