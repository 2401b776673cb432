"""The same databases as the event store's tests have."""

from tests.eventstore.conftest import clones

__all__ = ["clones"]
