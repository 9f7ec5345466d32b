"""From evidence to label: the LangGraph graphs, their nodes, the explainers, and the batch runner."""
