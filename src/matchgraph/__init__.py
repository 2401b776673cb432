"""matchgraph: a catalog of AI artifacts that explains itself, built on events."""
