"""The application, as the tests of the schema have it."""

from tests.graphql.conftest import api, still
from tests.projections.conftest import valkey

__all__ = ["api", "still", "valkey"]
