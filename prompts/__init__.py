"""Every prompt as a text file, and the strict loader that fills it in."""
