"""Labels in and out of other tools' files: one module a format, and what they share."""
