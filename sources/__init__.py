"""What is explained, and what is seen of it: subjects, dictionaries, corpora, the collector, evidence."""
