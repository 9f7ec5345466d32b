"""The nodes of the graphs, one a file: small functions from state to what they add to it."""
