"""matchgraph: a catalog of AI artifacts that explains itself, built on events."""

# As pyproject.toml has it; a test compares them.
__version__ = "0.1.0"
