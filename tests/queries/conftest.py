"""The same databases and Redis as the tests of the projections have."""

from tests.projections.conftest import client, clones, db, own, valkey

__all__ = ["client", "clones", "db", "own", "valkey"]
