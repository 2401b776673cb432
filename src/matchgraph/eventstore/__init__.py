"""The one history, in PostgreSQL: append, read, follow."""
