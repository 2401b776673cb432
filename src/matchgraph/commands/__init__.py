"""Change something: load, ask the aggregate, append. Beside queries: neither imports the other."""
