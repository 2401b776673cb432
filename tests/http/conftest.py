"""The application, as the tests of the schema have it."""

from tests.graphql.conftest import api, still

__all__ = ["api", "still"]
