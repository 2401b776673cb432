"""The application, as the tests of the schema have it, and a Valkey of a test's own."""

from tests.graphql.conftest import api, still
from tests.projections.conftest import valkey

__all__ = ["api", "still", "valkey"]
